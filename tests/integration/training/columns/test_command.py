"""`python -m training columns` on a few strips: to its end, stopped and gone on with, and refused."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.console import Console

from tests.support.processes import started
from training.cli import main
from training.columns.fit import fit
from training.columns.strips import StripSet
from training.config import ColumnsConfig, default_cache_folder
from training.errors import RunError
from training.fit.run_folder import RunFolder

TINY = ["--threads", "1", "--strips", "24", "--validation-strips", "12", "--signs", "0"]  # no fonts are fetched


@pytest.mark.usefixtures("mnist")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, where it saves weights
def test_ctrl_c_stops_it_and_resume_ends_with_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--runs-folder", str(tmp_path), "--cache-folder", str(default_cache_folder())]
    # Epochs enough that it still trains when the signal comes, however late this process gets its turn.
    flags = [*places, *TINY, "--epochs", "12"]
    command = [sys.executable, "-m", "training", "columns", *flags]
    with started(command, ignores_interrupt=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as stopped:
        assert stopped.stderr is not None
        while "epoch   1/12" not in (line := stopped.stderr.readline()):
            assert line, "it ended before its first epoch"
        stopped.send_signal(signal.SIGINT)
        rest = stopped.stderr.read()
        assert stopped.wait(timeout=60) == 130
    assert "Go on with: python -m training columns --resume --run columns" in rest
    assert "Traceback" not in rest

    path = tmp_path / "made.onnx"
    drawn = sorted((each, each.stat().st_mtime_ns) for each in (tmp_path / "columns").rglob("*strips/*.npz"))
    assert main(["columns", "--resume", "--output", str(path), *places]) == 0
    shown = capsys.readouterr()
    assert "strips drawn" not in shown.err  # what was drawn is kept
    assert [(each, each.stat().st_mtime_ns) for each, _ in drawn] == drawn
    assert "epoch   1/12" not in shown.err
    assert "epoch  12/12" in shown.err
    assert f"written: {path}" in shown.err
    assert "read whole" in shown.out

    properties = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert json.loads(properties["training"])["strips"] == 24
    assert "train-images-idx3-ubyte" in json.loads(properties["data"])
    assert sum(each["strips"] for each in json.loads(properties["validation"]).values()) == 12

    folder, whole = RunFolder(tmp_path / "columns"), RunFolder(tmp_path / "whole")
    train, validation = (StripSet.load(folder.path / name / "000.npz") for name in ("strips", "validation-strips"))
    config = ColumnsConfig(threads=1, strips=24, validation_strips=12, epochs=12)
    fit(whole, config, train, validation, Console(file=io.StringIO()))  # without a stop
    one, other = folder.read_weights(), whole.read_weights()
    assert all(np.array_equal(one[name], other[name]) for name in other)


@pytest.mark.usefixtures("mnist")
def test_a_run_that_is_there_is_neither_lost_nor_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["columns", "--runs-folder", str(tmp_path)]
    folder = RunFolder(tmp_path / "columns")

    def failed(*flags: str) -> str:
        assert main([*runs, *flags]) == 1
        return capsys.readouterr().err

    assert "no run 'columns'" in failed("--resume")
    assert "give one of them" in failed("--resume", "--restart")
    assert "strips = 0 must be at least 1" in failed("--strips", "0")
    config = {"seed": 1, "strips": 9, "validation_strips": 3, "epochs": 1, "threads": 1}
    git = {"revision": "a" * 40, "dirty": False}
    record = {"config": config, "git": git, "libraries": {}, "processor": "", "started": ""}
    folder.write_json("run.json", record)
    assert "there is a run 'columns' already, and it is unfinished" in failed()
    assert "was begun with epochs = 1, not 2" in failed("--resume", "--epochs", "2")
    folder.write_json("run.json", {**record, "config": {"train_images": 5}})
    assert "not of a column network" in failed("--resume")


@pytest.mark.parametrize("file", ["latest.weights.h5", "training_metadata.json"])
def test_a_damaged_state_is_named(file: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "columns")
    (folder.path / "backup").mkdir(parents=True)
    (folder.path / "backup" / file).write_bytes(b"half a file")
    places = np.full((2, 5), 8, np.float32)
    strips = StripSet(np.zeros((2, 32, 128), np.uint8), np.full(2, 16), places.astype(np.int64), places, places)
    with pytest.raises(RunError, match=r"backup is damaged .* --restart"):
        fit(folder, ColumnsConfig(threads=1, epochs=1), strips, strips, Console(file=io.StringIO()))
