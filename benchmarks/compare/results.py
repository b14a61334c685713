"""Results of one run of the benchmark: collected, summarized, written as JSON and read again."""

import json
import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.load.arrivals import Tail
from benchmarks.load.measurement import Load, Measurement, Spread, spread_of

LIBRARIES = ("grpcio", "onnxruntime", "uvloop", "protobuf", "numpy")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory and start of a server while no other runs."""

    memory_mebibytes: float  # proportional set size of all its processes, after every load
    start_seconds: float  # to the first right answer


@dataclass(slots=True)
class Results:
    """`rounds[server][load]` has one measurement a round; the same index is the same round for every server."""

    titles: dict[str, str]
    about: dict[str, Any]
    alone: dict[str, Footprint] = field(default_factory=dict)
    rounds: dict[str, dict[Load, list[Measurement]]] = field(default_factory=dict)
    tails: dict[str, dict[float, list[Tail]]] = field(default_factory=dict)  # by rate
    failed: dict[str, str] = field(default_factory=dict)  # servers that failed a request, with the reason

    def add(self, server: str, load: Load, measurement: Measurement) -> None:
        """Adds the measurement of one more round."""
        self.rounds.setdefault(server, {}).setdefault(load, []).append(measurement)

    def add_tail(self, server: str, tail: Tail) -> None:
        """Adds one more round at a fixed rate."""
        self.tails.setdefault(server, {}).setdefault(tail.rate, []).append(tail)

    def drop(self, server: str, why: str) -> None:
        """Removes a server that failed: some of its rounds say nothing."""
        self.rounds.pop(server, None)
        self.tails.pop(server, None)
        self.failed[server] = why

    def loads(self) -> list[Load]:
        """All loads, in the order in which they were measured."""
        return list(dict.fromkeys(load for measured in self.rounds.values() for load in measured))

    def spread(self, server: str, load: Load, value: Callable[[Measurement], float]) -> Spread:
        """Median and range of one figure over the rounds of a server under a load."""
        return spread_of([value(measured) for measured in self.rounds[server][load]])

    def ratio(self, server: str, other: str, load: Load) -> Spread:
        """Requests a second of `server` divided by those of `other`, round by round."""
        pairs = zip(self.rounds[server][load], self.rounds[other][load], strict=True)
        return spread_of([mine.requests_per_second / theirs.requests_per_second for mine, theirs in pairs])

    def write(self, path: Path) -> None:
        """Writes everything as JSON."""
        content = {
            "about": self.about,
            "titles": self.titles,
            "failed": self.failed,
            "alone": {name: asdict(alone) for name, alone in self.alone.items()},
            "results": [
                {"server": name, **asdict(load), "rounds": [asdict(each) for each in rounds]}
                for name, measured in self.rounds.items()
                for load, rounds in measured.items()
            ],
            "open_loop": [
                {"server": name, "rounds": [asdict(each) for rounds in measured.values() for each in rounds]}
                for name, measured in self.tails.items()
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Reads the JSON that `Results.write` has written."""
    content = json.loads(path.read_text())
    results = Results(content["titles"], content["about"], failed=content["failed"])
    results.alone = {name: Footprint(**alone) for name, alone in content["alone"].items()}
    for row in content["results"]:
        for measured in row["rounds"]:
            results.add(row["server"], Load(row["concurrency"], row["images"]), Measurement(**measured))
    for row in content["open_loop"]:
        for tail in row["rounds"]:
            results.add_tail(row["server"], Tail(**tail))
    return results


def about_this_run(options: Mapping[str, object]) -> dict[str, Any]:
    """Date, machine, versions and `options` of this run, so that its figures can be made again."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        **options,
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()
