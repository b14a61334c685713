"""An event loop whose time is a number that the test moves: its timers fire by it, and nothing waits."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")
MOST_READS = 10_000  # in one test: far more than any schedule needs


@dataclass
class Clock:
    """Stands in for the module `time` where a module under test uses nothing of it but monotonic()."""

    now: float = 1000.0  # seconds
    reads: int = 0

    def monotonic(self) -> float:
        self.reads += 1
        assert self.reads < MOST_READS, "it spins until the clock moves"
        return self.now


class SteppedLoop(asyncio.SelectorEventLoop):
    """Moves on with `await asyncio.sleep(0)`; its timers follow `clock`. Keeps what no callback may raise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.handed_over = threading.Semaphore(0)  # one permit for each callback that another thread has handed over
        self.raised: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.raised.append(context))

    def time(self) -> float:
        return self._clock.now

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self.handed_over.release()
        return handle


async def turns(count: int) -> None:
    """Lets the loop turn `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)
