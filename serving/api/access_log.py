"""A line for each call, written a moment later and many at a time: one by one they cost a third more (performance.md).

The lines are those that the log would have written, with the time at which each call ended.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from serving.logging import Logger, LogStream, renderer

DELAY_SECONDS = 0.05


class _Call(NamedTuple):
    """A call that has ended. `ended`: seconds since the epoch."""

    ended: float
    method: str
    code: str
    seconds: float
    peer: str


class AccessLog:
    """Belongs to the event loop that adds to it. Its lines carry what is bound to `log`."""

    def __init__(self, log: Logger, log_format: str) -> None:
        self._bound = structlog.get_context(log)
        self._render = renderer(log_format)
        self._calls: list[_Call] = []
        self._later: asyncio.TimerHandle | None = None

    def add(self, ended: float, method: str, code: str, seconds: float, peer: str) -> None:
        """Has the line written soon."""
        self._calls.append(_Call(ended, method, code, round(seconds, 6), peer))
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(DELAY_SECONDS, self.write)

    def write(self) -> None:
        """Writes what is still to be written."""
        if self._later:
            self._later.cancel()
            self._later = None
        calls, self._calls = self._calls, []
        if calls:
            stream = LogStream(sys.stderr)
            stream.write("".join(f"{self._line(call)}\n" for call in calls))
            stream.flush()

    def _line(self, call: _Call) -> str:
        event = self._bound | call._asdict() | {"event": "rpc", "level": "info"}
        event["timestamp"] = f"{datetime.fromtimestamp(event.pop('ended'), UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        return str(self._render(None, "info", event))
