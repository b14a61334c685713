"""The shadow process as its parent sees it: starts it, replaces it when it ends, and shows what it has counted."""

import asyncio
import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import Metric

from serving.config import Config
from serving.logging import Logger
from serving.process.ipc import IGNORED_SIGNALS
from serving.process.recycling import held_bytes
from serving.shadow.counts import ShadowCounts, make_memory

FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 60.0  # before another start; doubled at each end


class ShadowProcess:
    """Shadow process of the configuration's candidate, from start() to close(). Without a candidate there is none."""

    def __init__(self, config: Config, log: Logger) -> None:
        self._config = config
        self._log = log
        self._packets: tuple[socket.socket, socket.socket] | None = None
        self._memory = -1
        self._counts: ShadowCounts | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._restarts = 0
        self._pid = 0

    @property
    def descriptor(self) -> int | None:
        """Descriptor of the socket to which workers send, for them to inherit; None where there is no candidate."""
        return self._packets[0].fileno() if self._packets else None

    def start(self) -> None:
        """Starts the process in the background: nothing waits for it."""
        if self._config.shadow is None:
            return
        # The parent keeps both ends: what workers send waits for a process that is replaced, or is dropped.
        self._packets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory = make_memory()
        self._counts = ShadowCounts(self._memory)
        self._keeper = asyncio.create_task(self._keep(self._packets[1]))

    async def close(self) -> None:
        """Ends the process at once: nobody waits for its answers."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._counts and self._packets:
            self._counts.close()
            os.close(self._memory)
            for end in self._packets:
                end.close()
        self._counts = self._packets = self._keeper = None

    def collect(self) -> Iterable[Metric]:
        """Returns what has been counted so far, whatever the process does."""
        if self._counts is None or self._config.shadow is None:
            return []
        memory = held_bytes(self._pid) if self._pid else 0
        return self._counts.collect(self._config.shadow.version, self._restarts, memory)

    async def _keep(self, packets: socket.socket) -> None:
        """Starts the process again whenever it ends, after longer and longer pauses."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                status: int | str = await self._run(packets)
            except OSError as error:  # no process could be started
                status = str(error)
            self._restarts += 1
            if self._counts:
                self._counts.set_loaded(False)
            self._log.error("shadow_ended", status=status, next_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE_SECONDS)

    async def _run(self, packets: socket.socket) -> int:
        """Runs the process to its end, which a cancellation brings about. Returns its exit status."""
        # As for workers: a terminal's Ctrl-C is the parent's business.
        signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "serving.process.candidates.shadow", str(packets.fileno()), str(self._memory)),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=[packets.fileno(), self._memory],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        self._pid = process.pid
        try:
            if process.stdin is None:
                raise RuntimeError("the shadow process has no standard input: this is a bug")
            process.stdin.write(pickle.dumps(self._config))  # stays open: its end is the parent's
            return await process.wait()
        finally:
            self._pid = 0
            with suppress(ProcessLookupError):
                process.kill()
            if process.stdin:
                process.stdin.close()
            await process.wait()
