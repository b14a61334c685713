"""The access log: a line for each call, written a moment after the call and many lines at a time.

Line by line it would cost a tenth of the calls (docs/performance.md). The lines are those that the log would have
written, with the time at which each call ended, whatever the log level is.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import structlog

from serving.logging import Logger, LogStream, renderer

DELAY_SECONDS = 0.05


class _EndedCall(NamedTuple):
    """A call that has ended. `ended`: seconds since the epoch."""

    ended: float
    method: str
    code: str
    seconds: float
    peer: str
    request_id: str
    key: str  # name of its API key, empty where it has none
    trace_id: str  # empty where it is not sampled


class AccessLog:
    """Collects calls and writes their lines soon. Belongs to the event loop that adds to it."""

    def __init__(self, log: Logger, log_format: str) -> None:
        """`log`: its bound values are in each line. `log_format`: console or json."""
        self._bound = structlog.get_context(log)
        self._render = renderer(log_format)
        self._calls: list[_EndedCall] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self, method: str, code: str, seconds: float, peer: str, request_id: str, key: str = "", trace_id: str = ""
    ) -> None:
        """Adds a call that has ended now and took `seconds`; its line is written within DELAY_SECONDS."""
        self._calls.append(_EndedCall(time.time(), method, code, round(seconds, 6), peer, request_id, key, trace_id))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self.write)

    def write(self) -> None:
        """Writes the lines of all calls that were added."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        calls, self._calls = self._calls, []
        if calls:
            stream = LogStream(sys.stderr)
            stream.write("".join(f"{self._line(call)}\n" for call in calls))
            stream.flush()

    def _line(self, call: _EndedCall) -> str:
        second, fraction = divmod(call.ended, 1)
        event = {
            **self._bound,
            "method": call.method,
            "code": call.code,
            "seconds": call.seconds,
            "peer": call.peer,
            "request_id": call.request_id,
            **({"trace_id": call.trace_id} if call.trace_id else {}),
            **({"key": call.key} if call.key else {}),
            "event": "rpc",
            "level": "info",
            "timestamp": f"{_date_and_time(second)}.{int(fraction * 1_000_000):06}Z",
        }
        return str(self._render(None, "info", event))


@lru_cache(maxsize=2)  # formatted once a second and not for each line
def _date_and_time(second: float) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
