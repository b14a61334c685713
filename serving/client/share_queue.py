"""Which calls share which RPC. Decides and never waits; asyncio and threads have a thin shell each.

1. Nothing waits when idle. A call leaves as soon as fewer than `max_rpcs` RPCs are in flight; what arrives meanwhile
   joins the next RPC, up to `max_images` images and about `max_bytes` bytes. No delay is ever added to gather more.
2. A call that fills an RPC by itself, or holds no image (the server says what is wrong with that), travels alone and at
   once, uncounted: it has nothing to gain from waiting.
3. Calls are never cut in two, and different model versions never share an RPC; versions take turns.
4. An RPC lives as long as its most patient caller. Each caller's own deadline is watched by the shell, which lets the
   caller go on time; `leave` tells when nobody is left, and only then the RPC is cancelled.
5. An error that one caller's image can have caused is told to nobody yet: the calls are asked again in two halves, and
   so on until the culprit is alone with it. Any other error, a full server above all, goes to everybody, asked no more.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from serving.client.messages import CallError, Prediction

# Measured: docs/decisions/0021-coalescing-client.md.
MAX_RPCS = 4
MAX_IMAGES = 64
MAX_BYTES = 2**20  # of encoded pictures; a server accepts 16 times as much by default

_ONE_IMAGE_MAY_CAUSE = frozenset({"INVALID_ARGUMENT", "INTERNAL"})
_MESSAGE_TOO_LONG = "larger than max"  # gRPC's words; its code is that of a full server

Outcome = list[Prediction] | CallError  # of an RPC or of a call


class Answer(Protocol):
    """What the futures of asyncio and of concurrent.futures have in common."""

    def done(self) -> bool:
        """Whether it is set, or was cancelled by who waits for it."""

    def set_result(self, result: list[Prediction], /) -> None:
        """Wakes who waits."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Wakes who waits."""


A = TypeVar("A", bound=Answer)


@dataclass(slots=True, eq=False)
class Call(Generic[A]):
    """One call of one caller."""

    content: bytes  # its images, serialised
    images: int
    version: bytes  # the model version, serialised
    deadline: float  # on the shell's monotonic clock, seconds
    answer: A
    share: "Share[A] | None" = None  # the RPC that it travels in
    is_gone: bool = False  # nobody waits for the answer any longer


class Share(Generic[A]):
    """The calls that travel in one RPC."""

    def __init__(self, calls: list[Call[A]], is_counted: bool) -> None:
        self.calls = calls
        self.is_counted = is_counted
        self.waiting = len(calls)  # callers that have not gone
        for call in calls:
            call.share = self

    @property
    def images(self) -> int:
        """How many images the RPC carries."""
        return sum(call.images for call in self.calls)

    @property
    def deadline(self) -> float:
        """That of the most patient caller."""
        return max(call.deadline for call in self.calls)

    def request(self) -> bytes:
        """The serialised ClassifyRequest."""
        return b"".join([*(call.content for call in self.calls), self.calls[0].version])


class ShareQueue(Generic[A]):
    """Calls that wait, and the number of RPCs in flight."""

    def __init__(self, max_rpcs: int = MAX_RPCS, max_images: int = MAX_IMAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_rpcs = max_rpcs
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._alone: deque[Call[A]] = deque()
        self._again: deque[list[Call[A]]] = deque()  # halves of what failed
        self._waiting: dict[bytes, dict[Call[A], None]] = {}  # by version; ordered, and left in no time
        self._rpcs = 0

    def add(self, call: Call[A]) -> None:
        """`call` waits from now on; ask `take` whether an RPC may leave."""
        if call.images == 0 or call.images >= self._max_images or len(call.content) >= self._max_bytes:
            self._alone.append(call)
        else:
            self._waiting.setdefault(call.version, {})[call] = None

    def take(self) -> Share[A] | None:
        """The next RPC to send now, or None. The shell calls `finish` exactly once for it."""
        while self._alone:
            call = self._alone.popleft()
            if not call.is_gone:
                return Share([call], is_counted=False)
        if self._rpcs >= self._max_rpcs:
            return None
        calls = self._next_half() or self._next_waiting()
        if not calls:
            return None
        self._rpcs += 1
        return Share(calls, is_counted=True)

    def leave(self, call: Call[A]) -> Share[A] | None:
        """Nobody waits for `call` any longer. Returns its RPC if that now travels for nobody: to be cancelled."""
        call.is_gone = True
        if call.share is None:
            if call in (waiting := self._waiting.get(call.version, {})):
                del waiting[call]
            return None
        call.share.waiting -= 1
        return None if call.share.waiting else call.share

    def finish(self, share: Share[A], outcome: Outcome) -> None:
        """The RPC has ended: answers go to their callers, an error to who must have it."""
        self._rpcs -= share.is_counted
        if isinstance(outcome, CallError):
            self._fail(share, outcome)
            return
        start = 0
        for call in share.calls:
            _answer(call, outcome[start : start + call.images])
            start += call.images

    def fail_waiting(self, error: CallError) -> None:
        """Every call that has not left yet gets the error."""
        waiting = [call for calls in self._waiting.values() for call in calls]
        for call in [*self._alone, *(call for half in self._again for call in half), *waiting]:
            _answer(call, error)
        self._alone.clear()
        self._again.clear()
        self._waiting.clear()

    def _fail(self, share: Share[A], error: CallError) -> None:
        calls = [call for call in share.calls if not call.is_gone]
        if len(share.calls) > 1 and _may_be_of_one(error):
            for call in calls:
                call.share = None
            middle = len(calls) // 2
            self._again.extend(half for half in (calls[:middle], calls[middle:]) if half)
            return
        for call in calls:
            _answer(call, error)

    def _next_half(self) -> list[Call[A]]:
        while self._again:
            if calls := [call for call in self._again.popleft() if not call.is_gone]:
                return calls
        return []

    def _next_waiting(self) -> list[Call[A]]:
        """The calls that have waited longest, of the version whose turn it is."""
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

    def _first(self, waiting: dict[Call[A], None]) -> list[Call[A]]:
        """As many as fit one RPC: one always does."""
        calls: list[Call[A]] = []
        images = size = 0
        for call in waiting:
            images += call.images
            size += len(call.content)
            if calls and (images > self._max_images or size > self._max_bytes):
                break
            calls.append(call)
        return calls


def _may_be_of_one(error: CallError) -> bool:
    return error.code in _ONE_IMAGE_MAY_CAUSE or _MESSAGE_TOO_LONG in error.message


def _answer(call: Call[A], outcome: Outcome) -> None:
    if call.answer.done():
        return
    if isinstance(outcome, CallError):  # one for each: a traceback grows where it is raised
        call.answer.set_exception(CallError(outcome.code, outcome.message))
    else:
        call.answer.set_result(outcome)
