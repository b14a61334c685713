"""Results come back as they were written, whole or not at all; the audit sees what is missing or stands twice."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from serving.bulk.audit import audit
from serving.bulk.job import BulkError, Job, Shard, begun, write_plan
from serving.bulk.results import COLUMNS, Answers, read_back, written
from serving.image.picture import Quality
from serving.predictions import Refusal
from tests.support.bulk_inputs import a_job

REPOSITORY = Path(__file__).parents[4]
FORMATS = ["parquet", "csv", "jsonl"]


def some_answers(ids: Sequence[str]) -> Answers:
    """Answers in turn: sound, refused with a remark, an error."""
    count = len(ids)
    turn = np.arange(count) % 3
    return Answers(
        list(ids),
        np.arange(count) % 10,
        np.full(count, 0.75, np.float32),
        np.full(count, 0.1, np.float32),
        np.where(turn == 1, Refusal.NOVEL, Refusal.NONE).astype(np.uint8),
        np.where(turn == 1, Quality.LOW_CONTRAST | Quality.MOSTLY_DARK, 0).astype(np.uint8),
        {row: 'no, "picture"\n' for row in range(count) if turn[row] == 2},
    )


def job_of(folder: Path, format: str, shards: Sequence[Sequence[str]]) -> Job:
    """A job all of whose shards are written."""
    job = a_job(folder / "in", folder / "out", format=format)
    write_plan(job, iter(Shard(number, "rows", "", "", len(ids)) for number, ids in enumerate(shards)))
    for number, ids in enumerate(shards):
        with written(job, number) as writer:
            writer.write(some_answers(ids))
    return job


@pytest.mark.parametrize("format", FORMATS)
def test_results_are_read_back_as_they_were_written(format: str, tmp_path: Path) -> None:
    ids = [f"ü {n}" for n in range(30_000)]
    job = job_of(tmp_path, format, [ids])
    expected = list(some_answers(ids).rows())
    path = job.part(0)
    if format == "parquet":
        table = parquet.read_table(path).to_pylist()
        assert [tuple(row.values()) for row in table[:3]] == [
            ("ü 0", 0, 0.75, pytest.approx(0.1), "", "", None),
            ("ü 1", 1, 0.75, pytest.approx(0.1), "novel", "low_contrast,mostly_dark", None),
            ("ü 2", None, None, None, "", "", 'no, "picture"\n'),
        ]
    elif format == "csv":
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[:3] == [
            list(COLUMNS),
            ["ü 0", "0", "0.75", "0.1", "", "", ""],
            ["ü 1", "1", "0.75", "0.1", "novel", "low_contrast,mostly_dark", ""],
        ]
    else:
        assert [tuple(json.loads(line).values()) for line in path.read_text().splitlines()] == expected
    assert [each for batch in read_back(path, format) for each in zip(*batch, strict=True)] == [
        (row[0], row[4], row[6]) for row in expected
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_a_task_that_fails_leaves_no_file(format: str, tmp_path: Path) -> None:
    job = a_job(tmp_path / "in", tmp_path / "out", format=format)

    def fail() -> None:
        with written(job, 0) as writer:
            writer.write(some_answers(["a"]))
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert [path for path in Path(job.output).rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("format", FORMATS)
def test_names_that_are_no_text_are_escaped(format: str, tmp_path: Path) -> None:
    job = job_of(tmp_path, format, [["\udcff.png"]])
    (ids, _, _) = next(read_back(job.part(0), format))
    assert ids[0].encode("utf-8", "surrogatepass") in (b"\\udcff.png", b"\xed\xb3\xbf.png")


@pytest.mark.parametrize("ids_at_once", [1000, 7, 1])
def test_the_audit_counts_rows_ids_refusals_and_errors(ids_at_once: int, tmp_path: Path) -> None:
    shards = [[f"{shard}-{row}" for row in range(9)] for shard in range(5)]
    shards[3][0] = "0-0"
    found = audit(job_of(tmp_path, "csv", shards), ids_at_once)
    assert (found.shards, found.rows, found.ids, found.refused, found.errors) == (5, 45, 44, 15, 15)


def test_the_audit_misses_files_and_rows(tmp_path: Path) -> None:
    job = job_of(tmp_path, "csv", [["a", "b"], ["c"]])
    job.part(0).write_text(job.part(0).read_text().rpartition("b,")[0])
    with pytest.raises(BulkError, match="has 1 rows, not 2"):
        audit(job)
    job.part(0).unlink()
    with pytest.raises(BulkError, match="is missing"):
        audit(job)


def test_a_job_goes_on_with_the_same_settings_alone(tmp_path: Path) -> None:
    job = a_job(tmp_path / "in", tmp_path / "out")
    assert not begun(job)
    write_plan(job, iter([]))
    assert begun(job)
    with pytest.raises(BulkError, match="shard_rows = 1000, not 7"):
        begun(a_job(tmp_path / "in", tmp_path / "out", shard_rows=7))
    (job.hidden / "job.json").write_text("{")
    with pytest.raises(BulkError, match="cannot be read"):
        begun(job)


def test_a_process_that_writes_parquet_does_not_wait_for_pandas(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.unit.serving.bulk.test_results import job_of
job_of(Path(sys.argv[1]), "parquet", [["a", "b", "c"]])
assert "pyarrow" in sys.modules
assert "pandas" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
    )
    assert done.returncode == 0, done.stderr
