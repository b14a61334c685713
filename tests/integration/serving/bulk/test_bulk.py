"""Bulk jobs by the command: complete, resumable, the same answers whatever happens to their processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pyarrow import parquet

from serving.bulk.job import Job, Model, read_plan, write_plan
from serving.bulk.pool import classify_here
from serving.bulk.worker import open_model
from tests.support.bulk_inputs import OF_PIXELS, ROOT, a_job, planned, some_pictures, some_pixels, write_folder
from tests.support.committed_models import committed
from tests.support.processes import completed, opening_of, started, without_settings

ROWS, SHARD_ROWS = 4000, 400
VERSION = int(committed("mnist").name)


def run(*words: str | Path, status: int = 0, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs the command; its summary, or its message."""
    done = completed([sys.executable, "-m", "serving", "bulk", *words], env={**without_settings(), **(variables or {})})
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if not status else {"error": done.stderr}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "digits-idx3-ubyte"
    path.write_bytes(OF_PIXELS["images-idx3-ubyte"](some_pixels(ROWS)))
    return path


@pytest.fixture(scope="module")
def single(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that nothing disturbs."""
    output = tmp_path_factory.mktemp("single") / "out"
    summary = run(digits, output, "--shard-rows", str(SHARD_ROWS), "--workers", "2")
    assert (summary["rows"], summary["different_ids"], summary["shards"]) == (ROWS, ROWS, ROWS // SHARD_ROWS)
    return output


def rows_of(output: Path) -> list[dict[str, Any]]:
    return parquet.read_table(output).to_pylist()  # type: ignore[no-any-return]


def test_answers_are_those_of_the_model(single: Path) -> None:
    model = open_model(Model(str(ROOT / "models"), "mnist", "", "", 0, "auto", ""), 0)
    expected = model.run(some_pixels(ROWS)[:200])
    rows = rows_of(single)[:200]
    assert [row["digit"] for row in rows] == expected.digits.tolist()
    probabilities = expected.probabilities.max(axis=1)
    np.testing.assert_allclose([row["probability"] for row in rows], probabilities, atol=1e-5)
    assert [row["id"] for row in rows_of(single)] == [str(row) for row in range(ROWS)]


def test_a_job_is_not_begun_over_another_and_a_finished_one_is_not_done_again(digits: Path, single: Path) -> None:
    words = (digits, single, "--shard-rows", str(SHARD_ROWS))
    assert "--resume" in run(*words, status=1)["error"]
    assert "format = parquet, not csv" in run(*words, "--resume", "--format", "csv", status=1)["error"]
    assert "shard_rows" in run(*words[:2], "--resume", status=1)["error"]
    assert run(*words, "--resume")["classified_now"] == 0


@pytest.fixture
def job(digits: Path, tmp_path: Path) -> Job:
    """The job of `single`, planned into another folder."""
    model = Model(str((ROOT / "models").resolve()), "mnist", "", "", VERSION, "auto", "")
    loaded = open_model(model, VERSION)
    model = Model(model.repository, model.name, "", "", VERSION, "auto", loaded.sha256)
    job = a_job(digits, tmp_path / "out", SHARD_ROWS, "parquet", model)
    write_plan(job, iter(planned(job)))
    return job


def test_a_job_goes_on_when_one_of_its_processes_is_killed(job: Job, single: Path) -> None:
    outcomes = classify_here(job, read_plan(job), processes=2)
    numbers = [next(outcomes).number]
    victim = multiprocessing.active_children()[0]
    assert victim.pid
    os.kill(victim.pid, signal.SIGKILL)
    numbers += [outcome.number for outcome in outcomes]
    assert sorted(set(numbers)) == list(range(ROWS // SHARD_ROWS))
    assert rows_of(Path(job.output)) == rows_of(single)
    assert multiprocessing.active_children() == []


def test_a_job_that_is_stopped_keeps_what_is_complete(job: Job, single: Path) -> None:
    outcomes = classify_here(job, read_plan(job), processes=1)
    numbers = {outcome.number for outcome in islice(outcomes, 3)}
    outcomes.close()
    assert multiprocessing.active_children() == []
    parts = {path.name for path in Path(job.output).glob("part-*")}
    assert {job.part(number).name for number in numbers} <= parts
    assert len(parts) < ROWS // SHARD_ROWS
    for part in parts:
        assert (Path(job.output) / part).read_bytes() == (single / part).read_bytes()


@pytest.fixture
def long_input(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "long-idx3-ubyte"
    path.write_bytes(OF_PIXELS["images-idx3-ubyte"](some_pixels(20_000)))
    yield path
    path.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_command_and_resume_goes_on(
    number: signal.Signals, long_input: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    words = (long_input, output, "--shard-rows", "500", "--workers", "2", "--format", "csv")
    with (
        opening_of(output) as until_opened,
        started([sys.executable, "-m", "serving", "bulk", *words], env=without_settings()) as process,
    ):
        until_opened()
        process.send_signal(number)
        assert process.wait(60) == 130
    summary = run(*words, "--resume")
    assert (summary["rows"], summary["different_ids"], summary["errors"]) == (20_000, 20_000, 0)


def test_pictures_to_csv_and_json_lines_without_pyarrow(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {**some_pictures(20), "text.png": b"none"})
    (tmp_path / "none/pyarrow").mkdir(parents=True)
    (tmp_path / "none/pyarrow/__init__.py").write_text("raise ImportError('not here')")
    without = {"PYTHONPATH": f"{tmp_path / 'none'}:{os.environ.get('PYTHONPATH', ROOT)}"}
    for format in ("csv", "jsonl"):
        summary = run(tmp_path / "in", tmp_path / format, "--format", format, "--workers", "1", variables=without)
        assert (summary["rows"], summary["errors"]) == (21, 1)
    error = run(tmp_path / "in", tmp_path / "parquet", status=1, variables=without)["error"]
    assert "mnist-digits[scale]" in error
    assert "Traceback" not in error
    (tmp_path / "some.parquet").write_bytes(OF_PIXELS["bytes.parquet"](some_pixels(1)))
    error = run(tmp_path / "some.parquet", tmp_path / "other", "--format", "csv", status=1, variables=without)["error"]
    assert "mnist-digits[scale]" in error


def test_what_cannot_begin_is_refused_with_a_reason(digits: Path, tmp_path: Path) -> None:
    assert "outside" in run(tmp_path, tmp_path / "out", status=1)["error"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert "not empty" in run(digits, tmp_path / "full", status=1)["error"]
    assert "no model" in run(digits, tmp_path / "out", "--model-name", "none", status=1)["error"]
    assert "does not exist" in run(tmp_path / "nowhere", tmp_path / "out", status=2)["error"]


def memory_of(pid: int) -> int:
    """Bytes of a process and its children, pages that they share counted once; 0 where it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(each.memory_full_info().pss for each in [process, *process.children(recursive=True)])
    return 0


@pytest.mark.long
@pytest.mark.serial
def test_a_million_digits_stand_once_each_in_little_memory(tmp_path: Path) -> None:
    path, output = tmp_path / "million.npy", tmp_path / "out"
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (1_000_000, 784))
    for first in range(0, len(rows), ROWS):
        rows[first : first + ROWS] = some_pixels(ROWS)
    rows.flush()
    most = 0
    words: list[str | Path] = [sys.executable, "-m", "serving", "bulk", path, output, "--workers", "2"]
    with started(words, stdout=subprocess.PIPE, env=without_settings()) as process:
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        assert process.stdout
        summary = json.loads(process.stdout.read())
    assert (summary["rows"], summary["different_ids"], summary["errors"]) == (1_000_000, 1_000_000, 0)
    assert most < 600 * 2**20
