"""Progress of a job on standard error: rows, rate and time left."""

import sys
import time
from typing import TextIO

SECONDS_BETWEEN = {True: 0.5, False: 10.0}  # two lines, on a terminal and in a log


class Progress:
    """Shows how far a job is. On a terminal the line is written over the last one."""

    def __init__(self, done: int, total: int | None, file: TextIO = sys.stderr) -> None:
        """`done`: rows of an earlier run; `total`: None where it is not known before all is read."""
        self._before = self._rows = done
        self._total = total
        self._file = file
        self._began = self._shown = time.monotonic()
        self._is_terminal = file.isatty()

    def add(self, rows: int) -> None:
        """Adds rows that are done."""
        self._rows += rows
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN[self._is_terminal]:
            self._shown = now
            self._write(self.line(now - self._began))

    def line(self, seconds: float) -> str:
        """Returns the line to show after this time."""
        rate = (self._rows - self._before) / max(seconds, 1e-9)
        if self._total is None:
            return f"{self._rows:,} rows, {rate:,.0f} a second"
        left = (self._total - self._rows) / rate if rate else 0.0
        share = self._rows / max(1, self._total)
        return f"{self._rows:,} of {self._total:,} rows ({share:.0%}), {rate:,.0f} a second, {_time(left)} left"

    def close(self) -> None:
        """Ends the line on a terminal."""
        if self._is_terminal and self._shown > self._began:
            self._file.write("\n")

    def _write(self, line: str) -> None:
        self._file.write(f"\r\033[K{line}" if self._is_terminal else f"{line}\n")
        self._file.flush()


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
