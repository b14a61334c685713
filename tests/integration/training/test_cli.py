"""The command line as a person meets it: messages, exit statuses, Ctrl-C."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.support.tiny_training import REPOSITORY
from training.cli import main
from training.config import default_cache_folder
from training.data.mnist import CHECKSUMS, Mnist
from training.fit.run_folder import RunFolder
from training.fit.training_run import train

TINY_FLAGS = [
    "--degraded",
    "0",
    "--train-images",
    "1280",
    "--filters",
    "4,4,4",
    "--dense-units",
    "8",
    "--epochs",
    "3",
    "--synthetic-images",
    "0",
]


def _failed(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one error that a command ends with."""
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("command", ["data", "train", "evaluate", "export", "report", "run", "samples"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--cache-folder" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    assert ended.value.code == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_a_bad_setting_in_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.toml").write_text("[training]\nepoch = 3\n", encoding="utf-8")
    error = _failed(["train", "--config", str(tmp_path / "settings.toml")], capsys)
    assert "settings.toml: there is no setting 'epoch'" in error


def test_a_run_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "export"):
        assert "no run 'none'" in _failed([command, "--run", "none", "--runs-folder", str(tmp_path)], capsys)


def test_a_run_name_cannot_leave_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = _failed(["evaluate", "--run", "../elsewhere", "--runs-folder", str(tmp_path)], capsys)
    assert "is not a plain name" in error


def test_a_damaged_cache_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mnist").mkdir()
    for name in CHECKSUMS:
        (tmp_path / "mnist" / name).write_bytes(b"half a file")
    error = _failed(["data", "--cache-folder", str(tmp_path)], capsys)
    assert "train-images-idx3-ubyte is damaged" in error
    assert "Delete the folder" in error


@pytest.mark.usefixtures("mnist")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    error = _failed(["train", "--runs-folder", str(tmp_path / "file")], capsys)
    assert f"{tmp_path / 'file'}" in error


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "training", *arguments]


def test_ctrl_c_stops_cleanly_and_resume_ends_with_the_same_weights(mnist: Mnist, tmp_path: Path) -> None:
    places = ["--runs-folder", str(tmp_path), "--cache-folder", str(default_cache_folder())]
    # Epochs enough that it still trains when the signal comes, however late this process gets its turn.
    command = _command("train", "--run", "stopped", *places, *TINY_FLAGS, "--epochs", "20")
    stopped = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert stopped.stderr is not None
    with stopped, stopped.stderr as shown:
        assert "epoch   1/20" in shown.readline()
        stopped.send_signal(signal.SIGINT)
        rest = shown.read()
    assert stopped.returncode == 130
    assert "Go on with: python -m training train --resume --run stopped" in rest
    assert "Traceback" not in rest
    resumed = _command("train", "--resume", "--run", "stopped", *places)
    subprocess.run(resumed, cwd=REPOSITORY, check=True, capture_output=True)
    folder, whole = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "whole")
    train(
        whole, folder.read_record().config, mnist, None, Console(file=io.StringIO())
    )  # without a stop, in this process
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
