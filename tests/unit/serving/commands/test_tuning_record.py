import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.commands.tuning import SIZES, Curve, Picked
from serving.commands.tuning_record import Conditions, remember, remembered

CONDITIONS = Conditions("a processor", 2, "1.32.0", "auto", {"float32": "aa", "int8": "bb"}, [1, 2], 512)
CURVES = [
    Curve("float32", 1, tuple(size * 1e-5 for size in SIZES)),
    Curve("int8", 2, tuple(size * 1e-6 for size in SIZES)),
]
PICKED = Picked("int8", 2, 128)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    remember(tmp_path / "tuning.json", CONDITIONS, CURVES, PICKED)
    return tmp_path / "tuning.json"


def test_what_was_found_is_read_back(path: Path) -> None:
    assert remembered(path, CONDITIONS) == (CURVES, PICKED)
    assert [file.name for file in path.parent.iterdir()] == ["tuning.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"processor": "another"},
        {"usable_cpus": 4},
        {"onnxruntime": "1.33.0"},
        {"device": "cpu"},
        {"graphs": {"float32": "aa", "int8": "cc"}},
        {"threads": [1]},
        {"largest_batch": 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_under_other_conditions_it_says_nothing(change: dict[str, Any], path: Path) -> None:
    assert remembered(path, replace(CONDITIONS, **change)) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"schema_version": 2},
        {"picked": {"precision": "int8", "inference_threads": 2, "max_batch_size": 10**9}},
        {"picked": {"precision": "int4", "inference_threads": 2, "max_batch_size": 64}},
        {"picked": {"precision": "int8"}},
        {"curves": []},
        {"curves": [{"precision": "int8", "threads": 2, "seconds": [0] * len(SIZES)}]},
        {"curves": 7},
        {"picked": {"precision": [], "inference_threads": 2, "max_batch_size": 64}},
        {"picked": {"precision": "int8", "inference_threads": 2.0, "max_batch_size": 64}},
        {"picked": {"precision": "int8", "inference_threads": 2, "max_batch_size": 64.0}},
        {"curves": [{"precision": "int8", "threads": float("inf"), "seconds": [1] * len(SIZES)}]},
        {"curves": [{"precision": "int8", "threads": 2, "seconds": [10**400] * len(SIZES)}]},
    ],
)
def test_a_garbled_record_is_as_good_as_none(damage: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    assert remembered(path, CONDITIONS) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xff", b"null", b"[" * 100_000], ids=range(6))
def test_so_is_one_that_is_no_record(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert remembered(path, CONDITIONS) is None


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tuning.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        remember(tmp_path / "tuning.json", CONDITIONS, CURVES, PICKED)
    assert [file.name for file in tmp_path.iterdir()] == ["tuning.json"]


def test_others_may_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o444 == 0o444


def test_there_may_be_none(tmp_path: Path) -> None:
    assert remembered(tmp_path / "tuning.json", CONDITIONS) is None
