import dataclasses
from pathlib import Path

import numpy as np
import pytest

from training.config import FORMER_SETTINGS, TrainingConfig
from training.environment import GitState
from training.errors import RunError
from training.fit.checkpoint import EpochRecord, load_checkpoint, save_checkpoint
from training.fit.run_folder import RunFolder, RunRecord

RECORD = RunRecord(
    TrainingConfig(epochs=3, filters=(4, 8)), GitState("a" * 40, dirty=False), {"keras": "3"}, "a processor", "today"
)
EPOCH = EpochRecord(1, 0.5, 0.9, 0.4, 0.95, 0.001, 12.5)


def test_a_record_reads_back_as_it_was(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").write_record(RECORD)
    assert RunFolder(tmp_path / "run").has_begun
    assert RunFolder(tmp_path / "run").read_record() == RECORD


def test_a_run_from_before_a_setting_keeps_what_it_had_then(tmp_path: Path) -> None:
    """It is resumed, and evaluated, on the rows that it was begun with."""
    folder = RunFolder(tmp_path / "run")
    folder.write_record(RECORD)
    record = folder.read_json("run.json")
    for name in FORMER_SETTINGS:
        del record["config"][name]
    folder.write_json("run.json", record)
    assert folder.read_record().config == dataclasses.replace(RECORD.config, **FORMER_SETTINGS)


def test_a_missing_run_says_how_to_begin_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run 'none'.*training train"):
        RunFolder(tmp_path / "none").read_record()


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json("run.json", {"config": {"unheard_of": 1}})
    with pytest.raises(RunError, match="unheard_of"):
        folder.read_record()


def test_weights_finish_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match="--resume"):
        folder.read_weights()
    folder.write_weights({"layer/kernel": np.ones((2, 3), np.float32)})
    assert folder.is_finished
    np.testing.assert_array_equal(folder.read_weights()["layer/kernel"], np.ones((2, 3)))


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.npz", {"network/a": np.arange(3), "optimizer/b": np.array(2.0)}, [EPOCH])
    arrays, history = load_checkpoint(tmp_path / "checkpoint.npz")
    assert history == [EPOCH]
    assert arrays["network/a"].tolist() == [0, 1, 2]
    assert arrays["optimizer/b"] == 2


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path, length: int) -> None:
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, {"network/a": np.arange(3)}, [EPOCH])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match=r"checkpoint\.npz is damaged.*--restart"):
        load_checkpoint(path)


def test_removing_a_run_leaves_its_neighbours(tmp_path: Path) -> None:
    for name in ("one", "other"):
        RunFolder(tmp_path / name).write_record(RECORD)
    RunFolder(tmp_path / "one").remove()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
