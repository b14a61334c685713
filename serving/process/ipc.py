"""Messages between the supervisor and a worker, pickled, over a socket pair that the two processes hold.

Either process notices at once when the other has ended: the kernel closes its socket, however it died. Pickle is safe
here because nobody else holds an end of the pair.
"""

import asyncio
import pickle
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import Metric

from serving.config import Config
from serving.process.trusted_files import LastGood
from serving.store.memory import RecentPlace
from serving.version_policy import VersionPolicy

# By a worker, from its first moment. A terminal sends Ctrl-C to the whole process group, and some containers signal
# every process; only the supervisor decides.
IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LENGTH = struct.Struct("<I")  # before each message: its number of bytes


@dataclass(frozen=True, slots=True)
class Begin:
    """Message to the worker, first of all: its configuration and its number."""

    config: Config
    number: int
    rates: int  # file descriptor of auth.rate_limits.RateMemory
    is_ready: bool  # the service, for /readyz
    is_first: bool  # it answers HTTP while it loads; one that replaces another does so once it is ready
    last_good: LastGood  # contents of the files of keys and TLS, which may be unusable by now
    recent: RecentPlace | None = None  # memory for recent images, where there is a store
    shadow: int | None = None  # file descriptor of the socket to the shadow process, where there is one


@dataclass(frozen=True, slots=True)
class Ready:
    """Message from the worker: it answers calls with these model versions."""

    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StartFailed:
    """Message from the worker: it could not start, and ends by itself. The error has a message for people."""

    error: Exception


@dataclass(frozen=True, slots=True)
class CollectMetrics:
    """Message to the worker: send your metrics."""


@dataclass(frozen=True, slots=True)
class CollectedMetrics:
    """Message from the worker: its metrics."""

    families: list[Metric]


@dataclass(frozen=True, slots=True)
class ReloadModels:
    """Message to the worker: reload models now. From a worker: a client requested a reload, which is meant for all."""

    policy: VersionPolicy | None = None  # to the worker: the versions to serve from now on


@dataclass(frozen=True, slots=True)
class EndCanary:
    """Message to the worker: the canary answers nobody any more. From a worker: it has returned, which is for all."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Message to the worker: finish what was admitted, then end."""

    is_last: bool  # the service ends: it says so by HTTP to the end. Otherwise the other workers take new connections


@dataclass(frozen=True, slots=True)
class CollectService:
    """Message from the worker: send the metrics of the whole service, for a scrape that came to it."""


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """Message to the worker: the metrics of all processes, summed."""

    families: list[Metric]


@dataclass(frozen=True, slots=True)
class ServiceReady:
    """Message to the worker: whether the service answers calls, for /readyz."""

    is_ready: bool


Message = (
    Begin
    | Ready
    | StartFailed
    | CollectMetrics
    | CollectedMetrics
    | ReloadModels
    | EndCanary
    | Drain
    | CollectService
    | ServiceMetrics
    | ServiceReady
)


class WorkerLink:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @staticmethod
    async def open(end: socket.socket) -> "WorkerLink":
        """Takes ownership of one end of a socket pair."""
        return WorkerLink(*await asyncio.open_connection(sock=end))

    async def send(self, message: Message) -> None:
        """Sends a message. It is lost if the other process has ended, which receive() reports."""
        if self._writer.is_closing():  # asyncio would log such writes
            return
        content = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(content)) + content)  # at once: messages of several tasks never mix
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> Message | None:
        """Returns the next message; None when the other process has ended."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: Message = pickle.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def close(self) -> None:
        """Closes this end. A second call is harmless."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
