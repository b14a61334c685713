"""Server in a process of its own, for asyncio: runs until the block ends and keeps its log lines."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.processes import END_SECONDS, kill_session, server_command, started_on_loop, without_settings

START_SECONDS = 60.0


class ServiceProcess:
    """A server that `running` has started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self.grpc_address = self.http_address = ""
        self._serves = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Process id: of the supervisor, where there are several processes."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Port of gRPC."""
        return int(self.grpc_address.rpartition(":")[2])

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    async def until_serving(self) -> None:
        """Returns when it answers calls. Raises RuntimeError with its last lines when it ends before."""
        serves = asyncio.create_task(self._serves.wait())
        async with asyncio.timeout(START_SECONDS):
            await asyncio.wait({serves, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        if not self._serves.is_set():
            serves.cancel()
            raise RuntimeError(f"it ended before it served: {self.events[-3:]}")

    async def metric(self, name: str) -> float:
        """Sum of all series of this name at /metrics."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.http_address}/metrics") as response:
            lines = (await response.text()).splitlines()
        samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return sum(float(value) for series, _, value in samples if series.partition("{")[0] == name)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    async def until_ended(self) -> int:
        """Waits for its end and returns its exit status. Raises TimeoutError after END_SECONDS."""
        async with asyncio.timeout(END_SECONDS):
            status = await self._process.wait()
            await self._reading
        return status

    async def _read(self) -> None:
        assert self._process.stderr
        async for line in self._process.stderr:
            with suppress(ValueError):  # stacks of the watchdog, say
                event = json.loads(line)
                self.events.append(event)
                if event["event"] == "serving":
                    self.grpc_address, self.http_address = event["grpc"], event["http"]
                    self._serves.set()


@asynccontextmanager
async def running(repository: Path, *flags: str, port: int = 0) -> AsyncIterator[ServiceProcess]:
    """Server of the models of `repository`, with gRPC on `port` (0: any), until the block ends."""
    command = server_command("--grpc-port", str(port), "--model-repository", repository, *flags)
    pipe = asyncio.subprocess.PIPE
    async with started_on_loop(command, env=without_settings(), stderr=pipe) as process:
        service = ServiceProcess(process)
        try:
            await service.until_serving()
            yield service
        finally:
            kill_session(process.pid)
            await service.until_ended()
