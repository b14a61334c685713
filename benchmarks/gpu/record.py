"""Record of a run: steps that may fail one by one, within one budget of time, written down after each."""

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GRACE_SECONDS = 20.0  # for a step to end by itself, once its time is used up
_TAIL = 2000  # characters of an error


class Budget:
    """Time that is left, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below zero once they are used up."""
        return self._ends - time.monotonic()


class Record:
    """JSON file with one entry for each step: its result or its error, and its seconds."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        self.steps: dict[str, dict[str, Any]] = {}

    def run(self, name: str, command: Sequence[str], result: Path, at_least: float, at_most: float) -> None:
        """Runs a step in a process of its own and writes the file; the step's result is JSON in the file `result`.

        `command` gets the step's seconds as its last argument: what is left, but `at_most`. A step for which not even
        `at_least` are left is left out. Whatever fails in a step, a crash of the process included, is recorded, and
        does not end the run.
        """
        began, left = time.monotonic(), self._budget.left
        print(f"[{name}] begins, {left:.0f} s are left", flush=True)
        try:
            if left < at_least:
                raise TimeoutError(f"left out: {left:.0f} s are left, {at_least:.0f} s are needed")
            seconds = min(left, at_most)
            result.unlink(missing_ok=True)
            done = subprocess.run([*command, str(seconds)], timeout=seconds + GRACE_SECONDS, check=False)
            if not result.exists():
                raise RuntimeError(f"the step ended with status {done.returncode} and no result")
            entry = json.loads(result.read_text())
        except Exception as error:  # the border of a step: whatever fails, the next one runs
            entry = {"error": f"{type(error).__name__}: {error}"[:_TAIL]}
        if "error" in entry:
            print(f"[{name}] {entry['error']}", flush=True)
        self.steps[name] = entry | {"seconds": round(time.monotonic() - began, 2)}
        self._write()
        print(f"[{name}] ends after {self.steps[name]['seconds']} s", flush=True)

    def _write(self) -> None:
        """Writes the file anew; a reader finds the old or the new content, never half of it."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.steps, indent=1))
        new.replace(self._path)
