"""The watchdog: ends a process in which an inference never returns, so that the supervisor or orchestrator replaces it.

1. Nothing in the process can end such an inference, and it may block the event loop as well, if it runs on it.
2. faulthandler can end the process without the loop: its timer is a C thread that needs no interpreter lock. The loop
   sets the timer again and again; when the loop is blocked, the timer fires.
3. An inference that hangs in a thread leaves the loop running. The loop then sees how long it takes.
4. A process that is to end does so in time, whatever hangs: the event loop and the interpreter wait for their threads,
   and a thread may read a file of a network disk that is gone. A timer of the kernel waits for nobody.
"""

import asyncio
import atexit
import faulthandler
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serving.logging import Logger

STUCK = 70  # exit status when the loop still runs; faulthandler ends the process with status 1
UNREAD_SECONDS = 10.0  # for the last lines of the log to be written, also on a machine that is busy
END_SECONDS = 1.0  # for the event loop and the interpreter to end, once the service has
LOOKS = 4  # within the allowed time: the end comes at most a quarter of it late


@asynccontextmanager
async def watchdog(stuck_seconds: Callable[[], float], allowed_seconds: float, log: Logger) -> AsyncIterator[None]:
    """Ends the process when an inference takes, or the loop is blocked for, `allowed_seconds` while the block runs.

    `stuck_seconds`: returns for how long an inference has been running, 0: none is. `allowed_seconds`: 0: no watch.
    """
    if not allowed_seconds:  # inference_timeout_seconds = 0
        yield
        return
    watching = asyncio.create_task(_watch(stuck_seconds, allowed_seconds, log))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        # Last: the task could set the timer again before it ends.
        faulthandler.cancel_dump_traceback_later()


def end_if_stuck(stuck_seconds: Callable[[], float], log: Logger) -> None:
    """Ends the process at once if an inference still runs. Call last.

    A normal exit would free the model while the inference uses it.
    """
    if seconds := stuck_seconds():
        _end(seconds, log)


def end_within(seconds: float, status: int, log: Logger) -> None:
    """Ends the process with `status` in `seconds`, unless it has ended by itself. A second call replaces the first.

    For the main thread. Safe in the handler of a signal.
    """

    def end(*_: object) -> None:
        # The kernel ends the process where nobody reads what is written here.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, UNREAD_SECONDS)
        try:
            log.warning("threads_left", status=status)
            faulthandler.dump_traceback(sys.stderr)
        finally:
            os._exit(status)

    signal.signal(signal.SIGALRM, end)  # interrupts what the main thread waits for
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Then no thread is left to wait for. The interpreter next gives SIGALRM its default back, which would kill a
    # process that takes its time to free its memory, as on a busy machine.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)


async def _watch(stuck_seconds: Callable[[], float], allowed_seconds: float, log: Logger) -> None:
    """Sets the timer, sleeps, and looks at the inference, until it is cancelled."""
    while True:
        # Each call replaces the timer. It fires only if the loop does not get here for `allowed_seconds`.
        faulthandler.dump_traceback_later(allowed_seconds, exit=True, file=sys.stderr)
        await asyncio.sleep(allowed_seconds / LOOKS)
        if (seconds := stuck_seconds()) > allowed_seconds:  # runs in a thread, as the loop gets here
            _end(seconds, log)


def _end(seconds: float, log: Logger) -> None:
    """Logs, writes the stacks of all threads to standard error, and ends the process without any clean-up."""
    log.critical("inference_stuck", seconds=round(seconds, 1))
    faulthandler.dump_traceback(sys.stderr)
    os._exit(STUCK)  # not sys.exit(), which cleans up first, and may wait for what hangs
