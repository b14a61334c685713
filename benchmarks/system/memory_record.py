"""Memory of a server over time and calls: samples of a soak, how fast they grow, and the file that keeps them."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.system.memory import Growth, growth

SETTLING = 0.1  # share of the samples that is dropped at the start, while buffers grow to their size


@dataclass(frozen=True, slots=True)
class MemorySample:
    """MiB (PSS) of a server, so many seconds and calls after the start."""

    seconds: float
    calls: int
    mebibytes: float


@dataclass(slots=True)
class MemoryRecord:
    """All samples of one soak, and how many calls of each kind ended in which way."""

    about: Mapping[str, Any]
    samples: list[MemorySample] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def settled(self) -> list[MemorySample]:
        """Samples without those of the start."""
        return self.samples[int(len(self.samples) * SETTLING) :]

    def growth_an_hour(self) -> Growth:
        """MiB an hour, once settled. Raises ValueError for fewer than three samples."""
        settled = self.settled()
        return growth([each.seconds / 3600 for each in settled], [each.mebibytes for each in settled])

    def growth_a_call(self) -> Growth:
        """Bytes a call, once settled. Raises ValueError for fewer than three samples, or without any call."""
        settled = self.settled()
        return growth([each.calls for each in settled], [each.mebibytes * 2**20 for each in settled])

    def write(self, path: Path) -> None:
        """Writes everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "about": self.about,
            "outcomes": self.outcomes,
            "samples": [asdict(each) for each in self.samples],
        }
        path.write_text(json.dumps(content, indent=1) + "\n")


def read_record(path: Path) -> MemoryRecord:
    """Reads the JSON that `MemoryRecord.write` has written."""
    content = json.loads(path.read_text())
    samples = [MemorySample(**each) for each in content["samples"]]
    return MemoryRecord(content["about"], samples, Counter(content["outcomes"]))
