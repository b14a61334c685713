"""What the processes of a server take of memory: proportional set size, as if the one who measures were not there.

A page that several processes map counts for each in part. Our server runs on the libraries of the environment that the
benchmark itself runs on, a peer on its own: by plain PSS, ours would be told smaller, as half of its ONNX Runtime and
of its gRPC would be put down to the benchmark.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")
_KIBIBYTE = 1024


class Mapping(NamedTuple):
    """One line of /proc/PID/maps and what it takes, in bytes. `path`: empty for memory that is no file's."""

    path: str
    resident: int
    proportional: int
    dirty: int  # of the resident: changed by this process, so nobody else's


def memory_bytes(pids: Iterable[int]) -> int:
    """Of these processes together, the calling process not counted among those that share."""
    ours = {mapping.path for mapping in parse_smaps(Path("/proc/self/smaps").read_text())}
    return together([parse_smaps(_smaps(pid)) for pid in pids], ours)


def together(processes: Iterable[Iterable[Mapping]], ours: set[str]) -> int:
    """Proportional sizes; of a file that we map too, what each has changed, and of the rest the most that one holds."""
    total, largest = 0, dict.fromkeys(ours, 0)
    for process in processes:
        resident: dict[str, int] = {}
        for mapping in process:
            if mapping.path in ours and mapping.path.startswith("/"):
                total += mapping.dirty
                resident[mapping.path] = resident.get(mapping.path, 0) + mapping.resident - mapping.dirty
            else:
                total += mapping.proportional
        for path, size in resident.items():
            largest[path] = max(largest[path], size)
    return total + sum(largest.values())


def parse_smaps(text: str) -> list[Mapping]:
    """The mappings in the text of /proc/PID/smaps."""
    mappings: list[Mapping] = []
    path, resident, proportional = "", 0, 0
    for line in text.splitlines():
        if found := _MAPPING.match(line):
            path = found[1]
        elif line.startswith("Rss:"):
            resident = _size(line)
        elif line.startswith("Pss:"):
            proportional = _size(line)
        elif line.startswith("Private_Dirty:"):
            mappings.append(Mapping(path, resident, proportional, _size(line)))
    return mappings


def _size(line: str) -> int:
    return int(line.split()[1]) * _KIBIBYTE


def _smaps(pid: int) -> str:
    with suppress(OSError):  # gone since, or a zombie
        return Path(f"/proc/{pid}/smaps").read_text()
    return ""
