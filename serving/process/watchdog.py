"""Ends a process that is stuck, so that whoever started it can start another: an inference that never returns.

Nothing inside can end such an inference, which may hold the event loop too. So the end is put on Python's own alarm
(faulthandler), which is a thread without the interpreter's lock, and put off as long as all goes well.
"""

import asyncio
import faulthandler
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serving.logging import Logger

STUCK = 70  # the exit status where the loop still goes; faulthandler's own is 1
LOOKS = 4  # within the time allowed


@asynccontextmanager
async def watchdog(stuck_seconds: Callable[[], float], allowed_seconds: float, log: Logger) -> AsyncIterator[None]:
    """While the block runs, ends the process when an inference has taken, or the loop stood for, `allowed_seconds`.

    `stuck_seconds`: for how long an inference has been running. 0 seconds allowed: watches nothing.
    """
    if not allowed_seconds:
        yield
        return
    watching = asyncio.create_task(_watch(stuck_seconds, allowed_seconds, log))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        faulthandler.cancel_dump_traceback_later()


def end_if_stuck(stuck_seconds: Callable[[], float], log: Logger) -> None:
    """Ends the process where an inference still runs. Call last: Python's own end pulls the model from under it."""
    if seconds := stuck_seconds():
        _end(seconds, log)


async def _watch(stuck_seconds: Callable[[], float], allowed_seconds: float, log: Logger) -> None:
    while True:
        faulthandler.dump_traceback_later(allowed_seconds, exit=True, file=sys.stderr)
        await asyncio.sleep(allowed_seconds / LOOKS)
        if (seconds := stuck_seconds()) > allowed_seconds:
            _end(seconds, log)


def _end(seconds: float, log: Logger) -> None:
    log.critical("inference_stuck", seconds=round(seconds, 1))
    faulthandler.dump_traceback(sys.stderr)
    os._exit(STUCK)
