"""The command line as a person meets it: the whole pipeline, Ctrl-C, and moved commands."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.support.processes import completed, started
from training.cli import main
from training.config import default_cache_folder
from training.data.mnist import Mnist
from training.data.split import split_mnist
from training.export.model_version import FinishedRun
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.fit.training_run import fit

TINY_FLAGS = [
    *("--threads", "1"),  # as TINY: TensorFlow takes one number for the whole process
    *("--degraded", "0"),
    *("--train-images", "1280"),
    *("--validation-images", "320"),
    *("--filters", "4,4,4"),
    *("--dense-units", "8"),
    *("--epochs", "3"),
    *("--synthetic-images", "0"),
    *("--other-handwriting-images", "0"),
]


def _started(arguments: Sequence[str]) -> AbstractContextManager[subprocess.Popen[str]]:
    """`python -m training` as a job of a shell without job control: SIGINT is ignored when it starts."""
    command = [sys.executable, "-m", "training", *arguments]
    return started(command, ignores_interrupt=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def _finished(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m …`, to its end."""
    command = [sys.executable, "-m", *arguments]
    return completed(command, env={**os.environ, **environment})


def _failed(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one error that a command ends with."""
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error


def test_ctrl_c_stops_a_background_job_and_resume_ends_with_the_same_weights(mnist: Mnist, tmp_path: Path) -> None:
    places = ["--runs-folder", str(tmp_path), "--cache-folder", str(default_cache_folder())]
    # Epochs enough that it still trains when the signal comes, however late this process gets its turn.
    with _started(["run", "--run", "stopped", *places, *TINY_FLAGS, "--epochs", "12"]) as stopped:
        assert stopped.stderr is not None
        assert "epoch   1/12" in stopped.stderr.readline()
        stopped.send_signal(signal.SIGINT)
        rest = stopped.stderr.read()
        assert stopped.wait(timeout=60) == 130
    assert "Go on with: python -m training run --resume --run stopped" in rest
    assert "Traceback" not in rest
    assert main(["train", "--resume", "--run", "stopped", *places]) == 0
    folder, whole = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "whole")
    config = folder.read_record().config
    split = split_mnist(mnist, config.train_images, config.validation_images, config.split_seed, config.split)
    fit(whole, config, split, AddedRows(), Console(file=io.StringIO()))  # without a stop
    one, other = folder.read_weights(), whole.read_weights()
    assert all(np.array_equal(one[name], other[name]) for name in other)


def test_the_whole_pipeline_in_one_command(mnist: Mnist, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--runs-folder", str(tmp_path / "runs"), "--model-repository", str(tmp_path / "models")]
    assert main(["run", *places, *TINY_FLAGS, "--epochs", "1"]) == 0
    run, version = tmp_path / "runs" / "default", tmp_path / "models" / "mnist" / "1"
    for picture in ("training-curves", "confusion-matrix", "reliability", "misclassified"):
        assert (run / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    metadata = json.loads((version / "metadata.json").read_text())
    assert metadata["metrics"]["mnist_test"]["images"] == len(mnist.test)
    assert metadata["training"]["filters"] == [4, 4, 4]
    assert "ONNX Runtime agrees with Keras on 10,000 images" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def exportable(finished_run: RunFolder, evaluated_run: FinishedRun, tmp_path: Path) -> list[str]:
    """Flags that name a finished and evaluated run, which has learned novelty, and an empty repository."""
    run = RunFolder(shutil.copytree(finished_run.path, tmp_path / "runs" / "tiny"))
    run.write_json(run.metrics.name, evaluated_run.evaluation)
    return ["--run=tiny", f"--runs-folder={tmp_path}/runs", f"--model-repository={tmp_path}/models"]


@pytest.mark.usefixtures("mnist")
def test_an_export_without_fonts_leaves_a_version_without_a_reference_and_says_so(
    exportable: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, path = tmp_path / "cache", tmp_path / "nothing"
    cache.mkdir()
    (cache / "mnist").symlink_to(default_cache_folder() / "mnist")
    monkeypatch.setenv("PATH", str(path))  # no npm
    assert main(["export", *exportable, f"--cache-folder={cache}"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the version gets no drift.json, which `python -m training drift FOLDER` can add later" in said
    assert "npm is not installed" in said
    assert f"written: {tmp_path}/models/mnist/1" in said
    files = {path.name for path in (tmp_path / "models/mnist/1").iterdir()}
    assert files == {"MODEL_CARD.md", "golden.npz", "metadata.json", "model.onnx"}


@pytest.mark.long  # test_reference_of_drift_is_written_with_both_forms_of_a_version is the short form
@pytest.mark.usefixtures("mnist")
def test_an_export_measures_all_the_populations_of_the_reference(exportable: list[str], tmp_path: Path) -> None:
    assert main(["export", *exportable]) == 0
    version = tmp_path / "models/mnist/1"
    features = json.loads((version / "drift.json").read_text())["features"]
    assert len(features["novelty"]["populations"]) == 11
    assert json.loads((version / "metadata.json").read_text())["files"].keys() >= {"drift.json", "model.onnx"}


@pytest.mark.parametrize(
    ("command", "module"), [("race", "experiments.time_to_accuracy"), ("lesson", "experiments.shift_invariance")]
)
def test_a_moved_command_says_where_it_is_and_goes_on_as_that(command: str, module: str) -> None:
    moved, itself = _finished("training", command, "--help"), _finished(module, "--help")
    assert moved.stderr == f"`python -m training {command}` is now `python -m {module}`; it goes on as that.\n"
    assert (moved.stdout, moved.returncode) == (itself.stdout, 0)
    assert f"Usage: python -m {module}" in moved.stdout


def test_a_moved_command_ends_with_the_status_of_the_new_one() -> None:
    ended = _finished("training", "race", "--seconds", "soon")
    assert ended.returncode == 2
    assert "error: Invalid value for '--seconds'" in ended.stderr


@pytest.mark.usefixtures("mnist")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    error = _failed(["train", "--runs-folder", str(tmp_path / "file")], capsys)
    assert f"{tmp_path / 'file'}" in error


def test_a_run_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "export"):
        assert "no run 'none'" in _failed([command, "--run", "none", "--runs-folder", str(tmp_path)], capsys)


def test_a_run_name_cannot_leave_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = _failed(["evaluate", "--run", "../elsewhere", "--runs-folder", str(tmp_path)], capsys)
    assert "is not a plain name" in error
