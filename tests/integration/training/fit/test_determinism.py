"""The promise of `--resume` and of seeds: the same bits, however often the run was stopped."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.support.tiny_training import TINY
from training.config import TrainingConfig
from training.data.arrays import Weights
from training.data.split import Split
from training.errors import RunError
from training.fit.batches import AddedRows
from training.fit.checkpoint import EpochRecord, load_checkpoint, save_checkpoint
from training.fit.run_folder import RunFolder
from training.fit.trainer import Trainer
from training.fit.training_run import begin, fit
from training.fit.training_state import new_state


class StoppedAt:
    """Progress that presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step_done(self, step: int, loss: float) -> None:  # noqa: ARG002  # the protocol's
        if step == self._step:
            raise KeyboardInterrupt

    def epoch_done(self, record: EpochRecord) -> None:
        pass


def _trained(folder: RunFolder, config: TrainingConfig, split: Split, added: AddedRows) -> Weights:
    fit(folder, config, split, added, Console(file=io.StringIO()))
    return folder.read_weights()


def _are_equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_weights(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    again = _trained(RunFolder(tmp_path / "again"), TINY, small_split, added)
    assert _are_equal(finished_run.read_weights(), again)


def test_bfloat16_gives_the_same_weights_each_time_and_keeps_them_in_float32(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    config = dataclasses.replace(TINY, convolution_precision="bfloat16")
    once, again = (_trained(RunFolder(tmp_path / name), config, small_split, added) for name in ("once", "again"))
    assert _are_equal(once, again)
    assert not _are_equal(once, finished_run.read_weights())
    assert {each.dtype for each in once.values()} == {np.dtype(np.float32)}


def test_another_seed_gives_others(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    other = dataclasses.replace(TINY, seed=TINY.seed + 1, epochs=1)
    assert not _are_equal(
        finished_run.read_weights(), _trained(RunFolder(tmp_path / "other"), other, small_split, added)
    )


def test_an_interrupted_and_resumed_run_gives_the_weights_of_an_uninterrupted_one(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "resumed")
    state = new_state(TINY)
    in_second_epoch = StoppedAt(TINY.steps_per_epoch + 3)
    with pytest.raises(KeyboardInterrupt):
        Trainer(TINY, small_split, state, added).train(
            [], in_second_epoch, lambda history: save_checkpoint(folder.checkpoint, state.arrays(), history)
        )
    _, history = load_checkpoint(folder.checkpoint)
    assert [record.epoch for record in history] == [1]
    assert _are_equal(finished_run.read_weights(), _trained(folder, TINY, small_split, added))


def test_a_finished_run_is_not_trained_further(finished_run: RunFolder, small_split: Split, added: AddedRows) -> None:
    before = finished_run.weights.stat().st_mtime_ns
    history = fit(finished_run, TINY, small_split, added, Console(file=io.StringIO()))
    assert len(history) == TINY.epochs
    assert finished_run.weights.stat().st_mtime_ns == before


def test_the_network_learns(finished_run: RunFolder) -> None:
    history = finished_run.read_json("history.json")
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["learning_rate"] < 1e-6


def test_a_checkpoint_of_another_network_is_refused(
    finished_run: RunFolder, tmp_path: Path, small_split: Split, added: AddedRows
) -> None:
    folder = RunFolder(tmp_path / "other")
    folder.path.mkdir()
    folder.checkpoint.write_bytes(finished_run.checkpoint.read_bytes())
    with pytest.raises(RunError, match=r"another network.*--restart"):
        fit(folder, dataclasses.replace(TINY, dense_units=8), small_split, added, Console(file=io.StringIO()))


def test_a_run_is_overwritten_only_by_restart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    begin(folder, {"epochs": 3}, resume=False, restart=False)
    with pytest.raises(RunError, match=r"'run' already, and it is unfinished.*--resume.*--restart.*--run NAME"):
        begin(folder, {"epochs": 3}, resume=False, restart=False)
    assert begin(folder, {"epochs": 4}, resume=False, restart=True).config.epochs == 4


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    begin(folder, {"epochs": 3}, resume=False, restart=False)
    assert begin(folder, {}, resume=True, restart=False).config.epochs == 3
    with pytest.raises(RunError, match=r"begun with epochs = 3, not 4"):
        begin(folder, {"epochs": 4}, resume=True, restart=False)


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run 'run'"):
        begin(RunFolder(tmp_path / "run"), {}, resume=True, restart=False)


def test_finished_runs_teach_a_student_and_their_outputs_are_kept(
    finished_run: RunFolder, small_split: Split, added: AddedRows
) -> None:
    student = dataclasses.replace(TINY, columns=1, epochs=1, teacher=f"{finished_run.name},{finished_run.name}")
    runs = finished_run.path.parent
    first = _trained(RunFolder(runs / "student"), student, small_split, added)
    kept = list((runs / "teachers").rglob("epoch-*.npy"))
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    again = _trained(RunFolder(runs / "student-again"), student, small_split, added)
    assert _are_equal(first, again)
    assert kept[0].stat().st_mtime_ns == written
    alone = dataclasses.replace(student, teacher="")
    assert not _are_equal(first, _trained(RunFolder(runs / "alone"), alone, small_split, added))


def test_an_unfinished_teacher_is_refused(tmp_path: Path, small_split: Split, added: AddedRows) -> None:
    student = dataclasses.replace(TINY, teacher="nobody")
    with pytest.raises(RunError, match="no run 'nobody'"):
        fit(RunFolder(tmp_path / "student"), student, small_split, added, Console(file=io.StringIO()))
