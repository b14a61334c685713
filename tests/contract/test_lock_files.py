"""Every lock file pins versions with hashes, and says nothing of where packages come from."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKED = sorted([*(ROOT / "requirements").glob("*.txt"), *(ROOT / "benchmarks/peers").glob("*/requirements.txt")])
PEERS = sorted(path.parent for path in (ROOT / "benchmarks/peers").glob("*/requirements.in"))


def test_every_peer_has_its_lock_file() -> None:
    assert PEERS
    assert [peer.name for peer in PEERS if not (peer / "requirements.txt").exists()] == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_lock_files_hold_versions_and_hashes_and_no_address(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.match(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|file:", text) == []


def pins(name: str) -> dict[str, set[str]]:
    """Versions of each package, with their conditions."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^[\w.-]+.*==.*$", (ROOT / f"requirements/{name}.txt").read_text(), re.M):
        found.setdefault(re.split(r"[\[=]", line)[0], set()).add(line.strip(" \\"))
    return found


@pytest.mark.parametrize("name", ["serving", "training", "development"])
def test_what_jobs_need_installs_next_to_the_others(name: str) -> None:
    jobs, other = pins("scale"), pins(name)
    shared = jobs.keys() & other.keys()
    assert {"numpy", "protobuf"} <= shared
    assert {package: jobs[package] for package in shared} == {package: other[package] for package in shared}


@pytest.mark.parametrize("name", ["serving", "signing"])
def test_what_traces_need_installs_next_to_what_the_image_has(name: str) -> None:
    traces, other = pins("traces"), pins(name)
    shared = traces.keys() & other.keys()
    assert "protobuf" in shared
    assert {package: traces[package] for package in shared} == {package: other[package] for package in shared}


def test_the_serving_and_training_environments_hold_nothing_of_the_jobs() -> None:
    assert [name for name in ("ray", "pyarrow", "pandas") if name in pins("serving") or name in pins("training")] == []


@pytest.mark.parametrize("peer", PEERS, ids=lambda path: path.name)
def test_requirements_of_each_peer_are_locked(peer: Path) -> None:
    required = re.findall(r"^([\w.-]+)", (peer / "requirements.in").read_text(), re.MULTILINE)
    locked = set(re.findall(r"^([\w.-]+)(?:\[\S+\])?==", (peer / "requirements.txt").read_text(), re.MULTILINE))
    assert required
    assert set(required) <= locked
