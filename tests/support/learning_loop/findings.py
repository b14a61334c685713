"""What one turn of the loop has shown: counts and times, which are written as JSON and drawn."""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

BIN_SECONDS = 10  # of the time line of answers

Series = list[tuple[float, float]]  # seconds since the start, and the value then


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of `training adapt`.

    Attributes:
        began, ended: in seconds since the start of the loop.
        pictures, wrong: with feedback until then, and those of them that had been answered wrongly.
        version: that was written; None: it was refused.
        said: lines of the command's standard error and, after them, of its table.
    """

    began: float
    ended: float
    pictures: int
    wrong: int
    version: int | None
    said: list[str]


@dataclass
class Findings:
    """Times are in seconds since the start of the loop."""

    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    load: list[float] = field(default_factory=lambda: list(os.getloadavg()))  # of the machine, at the start
    calls: dict[str, int] = field(default_factory=lambda: {"classify": 0, "feedback": 0})
    failures: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)  # end of each, in their order
    drift: dict[str, float] = field(default_factory=dict)  # index by feature for which the alert fired
    attempts: list[Attempt] = field(default_factory=list)
    wrong: dict[str, int] = field(default_factory=dict)  # fresh pictures answered wrongly, by stage
    fresh: int = 0  # how many there are
    answered: dict[str, list[int]] = field(default_factory=dict)  # by stage: digit of each of them, -1 where refused
    judged: dict[str, int] = field(default_factory=dict)  # by who was right: both, served, candidate, neither
    compared: str = ""  # what `versions compare` wrote
    canary: dict[int, list[int]] = field(default_factory=dict)  # by version: fresh pictures, and wrong ones
    drift_after: dict[str, float] = field(default_factory=dict)  # index by feature against the new version's reference
    alerts_after: dict[str, list[str]] = field(default_factory=dict)  # by name: state and feature of each
    # Answers to the caller that sends fresh pictures all the time: start of the bin, version, pictures, wrong ones.
    answers: list[tuple[int, int, int, int]] = field(default_factory=list)
    index: dict[str, Series] = field(default_factory=dict)  # of drift, by "feature version", as Prometheus has it
    firing: dict[str, Series] = field(default_factory=dict)  # 1 where the alert fires, by "feature version"

    def write(self, path: Path) -> None:
        """Writes all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` has written."""
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["attempts"] = [Attempt(**each) for each in record["attempts"]]
        record["canary"] = {int(version): counts for version, counts in record["canary"].items()}
        record["answers"] = [tuple(each) for each in record["answers"]]
        for name in ("index", "firing"):
            record[name] = {of: [tuple(each) for each in series] for of, series in record[name].items()}
        return cls(**record)
