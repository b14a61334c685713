"""What the supervisor and a worker say to one another, over a socket that both ends of a spawned process hold.

Either side notices the other's end at once: its socket closes, however it died.
"""

import asyncio
import pickle
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import Metric

from serving.api.forwarding import Answer, Question
from serving.config import Config
from serving.version_policy import VersionPolicy

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Begin:
    """To the worker, first of all: what it is."""

    config: Config
    number: int
    rates: int  # file descriptor of what all workers count together


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: it answers calls, by these versions of the model."""

    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker: it could not start, and why, as an error with a message for people. It ends by itself."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Collect:
    """To the worker: say what your metrics are."""


@dataclass(frozen=True, slots=True)
class Collected:
    """From the worker: its metrics."""

    families: list[Metric]


@dataclass(frozen=True, slots=True)
class Look:
    """To the worker: look at the model's folder now. From it: somebody told it to, and so should the others."""

    policy: VersionPolicy | None = None  # to the worker: which versions it serves from now on


@dataclass(frozen=True, slots=True)
class Drain:
    """To the worker: answer what you have admitted, then end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """To the worker: answer this."""

    number: int  # of the question, among those of this link
    question: Question


@dataclass(frozen=True, slots=True)
class Forget:
    """To the worker: nobody waits for this answer any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """From the worker: the answer to a question."""

    number: int
    answer: Answer


Message = Begin | Ready | Failed | Collect | Collected | Look | Drain | Ask | Forget | Answered


class WorkerLink:
    """One end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @staticmethod
    async def open(end: socket.socket) -> "WorkerLink":
        """Takes over one end of a socket pair."""
        return WorkerLink(*await asyncio.open_connection(sock=end))

    async def send(self, message: Message) -> None:
        """Sends it. To an end that is gone it is lost: whoever reads there learns that by receive()."""
        if self._writer.is_closing():  # uvloop raises where asyncio's own loop would let it pass
            return
        content = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(content)) + content)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone."""
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
