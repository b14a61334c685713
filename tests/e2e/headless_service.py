"""A headless Service played on loopback addresses: real servers under one name, real clients, real failures.

`python -m tests.e2e.headless_service HOSTS AGE_SECONDS [PYTHON_OF_TRITONCLIENT]`, in a network of its own
(tests.support.own_network). Prints what became of the calls as JSON.
"""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos.callers import CallOutcomes, calling, until_answered
from tests.chaos.service_process import ServiceProcess, running
from tests.support.own_network import bring_up, write_hosts
from tests.support.processes import started_on_loop
from tests.support.tiny_model import write_tiny_version

NAME, PORT = "digits-headless", 50051  # a fixed port: nobody else is in this network
TARGET = f"dns:///{NAME}:{PORT}"
PODS = 7  # three, one for each of them, and one more
BALANCED = 0.1  # of an equal share
WINDOW_CALLS = 600  # whose shares are compared
AFTER_SECONDS = 10.0  # by when shares are to be equal


class Pods:
    """Servers on addresses of their own, and the name that stands for some of these."""

    def __init__(self, hosts: Path) -> None:
        self.ready: dict[str, ServiceProcess] = {}  # by address: those that answer and that somebody may know
        self._spare: list[tuple[str, ServiceProcess]] = []
        self._hosts = hosts

    async def start(self, count: int, repository: Path, age_seconds: float, stack: AsyncExitStack) -> None:
        """Starts servers at once, each on a new address, and waits until all answer. Nobody knows them yet."""
        flags = ("--workers", "1", "--http-port", "8080", "--max-connection-age-seconds", str(age_seconds))
        addresses = [f"127.0.0.{number}" for number in range(2, 2 + count)]
        servers = [running(repository, "--host", each, *flags, port=PORT) for each in addresses]
        started = await asyncio.gather(*map(stack.enter_async_context, servers))
        self._spare = list(zip(addresses, started, strict=True))

    def publish(self, count: int = 1, without: str = "") -> str:
        """Adds servers to the name, and takes one from it, if named. Returns the last address."""
        self.ready |= dict(self._spare[:count])
        del self._spare[:count]
        write_hosts(self._hosts, NAME, (address for address in self.ready if address != without))
        return list(self.ready)[-1]

    async def replace(self, old: str) -> dict[str, Any]:
        """Replaces a pod as a rolling update does: a new one is ready, then the old one gets SIGTERM.

        Returns the exit status, and after how many seconds the new one had answered a call.
        """
        new = self.publish(without=old)
        service = self.ready.pop(old)
        service.signal(signal.SIGTERM)
        seconds = await self.until_called(new)
        return {"status": await service.until_ended(), "seconds": seconds}

    async def until_called(self, address: str) -> float:
        """Waits until a pod has answered a call, and returns for how many seconds."""
        began = time.monotonic()
        while not await self.calls(address):
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def calls(self, address: str) -> float:
        """Calls that a pod has answered."""
        return await self.ready[address].metric("grpc_server_handled_total")

    async def until_balanced(self, outcomes: CallOutcomes) -> dict[str, Any]:
        """Waits until the shares of WINDOW_CALLS calls are equal, at most AFTER_SECONDS. Returns them."""
        began = time.monotonic()
        while True:
            before = [await self.calls(address) for address in self.ready]
            await until_answered(outcomes, WINDOW_CALLS)
            after = [await self.calls(address) for address in self.ready]
            calls = [late - early for early, late in zip(before, after, strict=True)]
            shares = [round(each * len(calls) / sum(calls), 3) for each in calls]
            seconds = time.monotonic() - began
            if seconds > AFTER_SECONDS or all(abs(share - 1) <= BALANCED for share in shares):
                return {"shares": shares, "seconds": seconds}


@asynccontextmanager
async def triton_calling(python: str) -> AsyncIterator[dict[str, Any]]:
    """tritonclient, in its own environment, calls until the block ends. Yields what will hold its outcome."""
    program = Path(__file__).with_name("headless_tritonclient.py")
    pipe, outcome = asyncio.subprocess.PIPE, dict[str, Any]()
    async with started_on_loop([python, program, TARGET], stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        await process.stdout.readline()  # it has been answered
        yield outcome
        process.stdin.close()
        outcome |= json.loads(await process.stdout.read())


async def play(hosts: Path, age_seconds: float, triton_python: str) -> dict[str, Any]:
    """Runs all scenes under the calls of our client."""
    seen: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_tiny_version(repository)
        pods = Pods(hosts)
        await pods.start(PODS, repository, age_seconds, stack)
        pods.publish(3)
        async with calling([TARGET], callers=4, connections=2) as outcomes:
            seen["three"] = await pods.until_balanced(outcomes)

            async with AsyncExitStack() as others:
                if triton_python:
                    seen["tritonclient"] = await others.enter_async_context(triton_calling(triton_python))
                before = outcomes.answered
                seen["replaced"] = [await pods.replace(old) for old in list(pods.ready)]
                await until_answered(outcomes, WINDOW_CALLS)
                seen["calls while replaced"] = outcomes.answered - before

            # All is well: nothing but the age of a connection makes a client look the name up again.
            seen["added"] = await pods.until_called(pods.publish())
            seen["balanced"] = await pods.until_balanced(outcomes)

            _, service = pods.ready.popitem()  # the name keeps it: nobody has noticed yet
            before = outcomes.answered
            service.signal(signal.SIGKILL)
            await service.until_ended()
            await until_answered(outcomes, WINDOW_CALLS)
            seen["calls while killed"] = outcomes.answered - before
        seen |= {"answered": outcomes.answered, "failed": outcomes.failed, "wrong": outcomes.wrong}
    return seen


if __name__ == "__main__":
    bring_up()
    print(json.dumps(asyncio.run(play(Path(sys.argv[1]), float(sys.argv[2]), "".join(sys.argv[3:])))))
