import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu.cli import main
from benchmarks.gpu.parts import PartsError, join, split


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "some-1.0.whl"
    path.write_bytes(random.Random(0).randbytes(10_000))
    return path


@given(st.binary(min_size=1, max_size=200), st.integers(1, 80))
def test_what_was_split_is_joined_again(tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int) -> None:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "file").write_bytes(content)
    parts = split(folder / "file", folder / "parts", size)
    assert len(parts) == -(-len(content) // size)
    assert join(folder / "parts", folder / "joined").read_bytes() == content


def test_each_part_is_within_the_limit_and_can_be_carried_alone(wheel: Path, tmp_path: Path) -> None:
    arrived = tmp_path / "arrived"
    for folder in split(wheel, tmp_path / "parts", 4096):
        (part,) = folder.glob("part-*")
        assert part.stat().st_size <= 4096
        folder.rename(tmp_path / f"carried-{folder.name}")
    main(["join", str(tmp_path), str(arrived)])
    assert (arrived / wheel.name).read_bytes() == wheel.read_bytes()


def test_a_missing_part_is_named(wheel: Path, tmp_path: Path) -> None:
    (split(wheel, tmp_path / "parts", 4096)[1] / "part-01").unlink()
    with pytest.raises(PartsError, match=r"part-01 of some-1\.0\.whl is missing"):
        join(tmp_path / "parts", tmp_path)


def test_a_damaged_part_is_named(wheel: Path, tmp_path: Path) -> None:
    part = split(wheel, tmp_path / "parts", 4096)[2] / "part-02"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(PartsError, match=r"part-02 has another SHA-256"):
        join(tmp_path / "parts", tmp_path)


def test_no_part_at_all_ends_the_command_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no part has arrived"):
        main(["join", str(tmp_path), str(tmp_path)])
