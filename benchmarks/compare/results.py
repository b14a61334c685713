"""Results of one run of the benchmark: collected, summarized, written as JSON and read again."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.load.arrivals import Tail
from benchmarks.load.measurement import Load, Measurement, OpenLoop, Spread, spread_of


def failure_name(server: str, load: Load | OpenLoop | None = None) -> str:
    """The key of `Results.failed`."""
    return server if load is None else f"{server}, {load.title}"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory and start of a server while no other runs."""

    ready_mebibytes: float  # proportional set size of all its processes, after the first right answer
    memory_mebibytes: float  # the same after every load
    start_seconds: float  # to the first right answer


@dataclass(slots=True)
class Results:
    """`rounds[server][load]` has one measurement a round; the same index is the same round for every server."""

    titles: dict[str, str]
    about: dict[str, Any]
    alone: dict[str, Footprint] = field(default_factory=dict)
    rounds: dict[str, dict[Load, list[Measurement]]] = field(default_factory=dict)
    tails: dict[str, dict[float, list[Tail]]] = field(default_factory=dict)  # by rate
    failed: dict[str, str] = field(default_factory=dict)  # reasons, by server, or by server and load (failure_name)

    def add(self, server: str, load: Load, measurement: Measurement) -> None:
        """Adds the measurement of one more round."""
        self.rounds.setdefault(server, {}).setdefault(load, []).append(measurement)

    def add_tail(self, server: str, tail: Tail) -> None:
        """Adds one more round at a fixed rate."""
        self.tails.setdefault(server, {}).setdefault(tail.rate, []).append(tail)

    def drop(self, server: str, why: str, load: Load | OpenLoop | None = None) -> None:
        """Removes the rounds of a server that failed a load, since some of them say nothing. None: of all its loads."""
        if load is None:
            self.rounds.pop(server, None)
            self.tails.pop(server, None)
        elif isinstance(load, Load):
            self.rounds.get(server, {}).pop(load, None)
        else:
            self.tails.get(server, {}).pop(load.rate, None)
        self.failed[failure_name(server, load)] = why

    def has_failed(self, server: str, load: Load | OpenLoop) -> bool:
        """True once a server was dropped, or its rounds of this load."""
        return server in self.failed or failure_name(server, load) in self.failed

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
            load = Load(**{each.name: row[each.name] for each in fields(Load) if each.name in row})
            results.add(row["server"], load, Measurement(**measured))
    for row in content["open_loop"]:
        for tail in row["rounds"]:
            results.add_tail(row["server"], Tail(**tail))
    return results
