"""Decides which calls share which RPC. It never waits; asyncio and threads have a thin shell each.

1. Nothing waits when idle. A call leaves as soon as fewer than `max_rpcs` RPCs are in flight; calls that arrive
   meanwhile join the next RPC, up to `max_images` images and about `max_bytes` bytes. No delay is ever added to
   gather more.
2. A call that fills an RPC by itself, or holds no image (the server answers with the error), travels alone and at once,
   uncounted: waiting would gain it nothing.
3. Calls are never cut in two, and different model versions never share an RPC; versions take turns.
4. An RPC lives as long as its most patient caller. The shell watches each caller's own deadline and lets the caller go
   on time; `leave` reports when no caller is left, and only then the RPC is cancelled.
5. An error that one caller's image can have caused reaches nobody yet: the calls are sent again in two halves, and so
   on until the culprit is alone with it. Any other error, above all that of a full server, goes to every caller, and
   nothing is sent again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mnist_digits.errors import CallError
from mnist_digits.results import Prediction

# Measured: docs/decisions/0021-coalescing-client.md in the service's repository.
MAX_RPCS = 4
MAX_IMAGES = 64
MAX_BYTES = 2**20  # of encoded pictures; a server accepts 16 times as much by default

_ONE_IMAGE_MAY_CAUSE = frozenset({"INVALID_ARGUMENT", "INTERNAL"})
_MESSAGE_TOO_LONG = "larger than max"  # in gRPC's message, whose code is that of a full server

Outcome = list[Prediction] | CallError  # of an RPC or of a call


class CallFuture(Protocol):
    """Methods that the futures of asyncio and of concurrent.futures have in common."""

    def done(self) -> bool:
        """Returns True once it is set, or cancelled by its caller."""

    def set_result(self, result: list[Prediction], /) -> None:
        """Wakes the caller."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Wakes the caller."""


F = TypeVar("F", bound=CallFuture)


@dataclass(slots=True, eq=False)
class Call(Generic[F]):
    """One call of one caller."""

    content: bytes  # its images, serialized
    images: int
    version: bytes  # the model version, serialized
    deadline: float  # on the shell's monotonic clock, seconds
    future: F
    rpc: "SharedRpc[F] | None" = None  # the RPC that it travels in
    is_gone: bool = False  # its caller waits no longer


class SharedRpc(Generic[F]):
    """The calls that travel in one RPC."""

    def __init__(self, calls: list[Call[F]], is_counted: bool) -> None:
        self.calls = calls
        self.is_counted = is_counted
        self.waiting = len(calls)  # callers that have not gone
        for call in calls:
            call.rpc = self

    @property
    def images(self) -> int:
        """Number of images in the RPC."""
        return sum(call.images for call in self.calls)

    @property
    def deadline(self) -> float:
        """Deadline of the most patient caller."""
        return max(call.deadline for call in self.calls)

    def request(self) -> bytes:
        """Serializes the ClassifyRequest."""
        return b"".join([*(call.content for call in self.calls), self.calls[0].version])


class ShareQueue(Generic[F]):
    """Holds the calls that wait, and counts the RPCs in flight."""

    def __init__(self, max_rpcs: int = MAX_RPCS, max_images: int = MAX_IMAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_rpcs = max_rpcs
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._alone: deque[Call[F]] = deque()
        self._again: deque[list[Call[F]]] = deque()  # halves of what failed
        self._waiting: dict[bytes, dict[Call[F], None]] = {}  # by version; dicts keep order and remove in O(1)
        self._rpcs = 0

    def add(self, call: Call[F]) -> None:
        """Lets `call` wait; `take` then says which RPC may leave."""
        if call.images == 0 or call.images >= self._max_images or len(call.content) >= self._max_bytes:
            self._alone.append(call)
        else:
            self._waiting.setdefault(call.version, {})[call] = None

    def take(self) -> SharedRpc[F] | None:
        """Returns the RPC to send now, or None. The shell calls `finish` exactly once for it."""
        while self._alone:
            call = self._alone.popleft()
            if not call.is_gone:
                return SharedRpc([call], is_counted=False)
        if self._rpcs >= self._max_rpcs:
            return None
        calls = self._next_half() or self._next_waiting()
        if not calls:
            return None
        self._rpcs += 1
        return SharedRpc(calls, is_counted=True)

    def leave(self, call: Call[F]) -> SharedRpc[F] | None:
        """Drops a call whose caller waits no longer. Returns its RPC if no caller of that is left: to be cancelled."""
        call.is_gone = True
        if call.rpc is None:
            if call in (waiting := self._waiting.get(call.version, {})):
                del waiting[call]
            return None
        call.rpc.waiting -= 1
        return None if call.rpc.waiting else call.rpc

    def finish(self, rpc: SharedRpc[F], outcome: Outcome) -> None:
        """Gives each caller its part of an ended RPC's outcome; an error only to those who must have it."""
        self._rpcs -= rpc.is_counted
        if isinstance(outcome, CallError):
            self._fail(rpc, outcome)
            return
        start = 0
        for call in rpc.calls:
            _settle(call, outcome[start : start + call.images])
            start += call.images

    def fail_waiting(self, error: CallError) -> None:
        """Fails every call that has not left yet."""
        waiting = [call for calls in self._waiting.values() for call in calls]
        for call in [*self._alone, *(call for half in self._again for call in half), *waiting]:
            _settle(call, error)
        self._alone.clear()
        self._again.clear()
        self._waiting.clear()

    def _fail(self, rpc: SharedRpc[F], error: CallError) -> None:
        calls = [call for call in rpc.calls if not call.is_gone]
        if len(rpc.calls) > 1 and _one_image_may_cause(error):
            for call in calls:
                call.rpc = None
            middle = len(calls) // 2
            self._again.extend(half for half in (calls[:middle], calls[middle:]) if half)
            return
        for call in calls:
            _settle(call, error)

    def _next_half(self) -> list[Call[F]]:
        while self._again:
            if calls := [call for call in self._again.popleft() if not call.is_gone]:
                return calls
        return []

    def _next_waiting(self) -> list[Call[F]]:
        """Takes the calls that have waited longest, of the version whose turn it is."""
        while self._waiting:
            version = next(iter(self._waiting))
            waiting = self._waiting.pop(version)
            if not waiting:
                continue
            calls = self._first(waiting)
            for call in calls:
                del waiting[call]
            if waiting:
                self._waiting[version] = waiting
            return calls
        return []

    def _first(self, waiting: dict[Call[F], None]) -> list[Call[F]]:
        """Picks as many as fit one RPC, and at least one."""
        calls: list[Call[F]] = []
        images = size = 0
        for call in waiting:
            images += call.images
            size += len(call.content)
            if calls and (images > self._max_images or size > self._max_bytes):
                break
            calls.append(call)
        return calls


def _one_image_may_cause(error: CallError) -> bool:
    return error.code in _ONE_IMAGE_MAY_CAUSE or _MESSAGE_TOO_LONG in error.message


def _settle(call: Call[F], outcome: Outcome) -> None:
    if call.future.done():
        return
    if isinstance(outcome, CallError):  # one object each: raising it extends its traceback
        call.future.set_exception(CallError(outcome.code, outcome.message))
    else:
        call.future.set_result(outcome)
