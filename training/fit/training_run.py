"""A training run from its first step or last checkpoint to its result; which runs may begin, resume or be replaced."""

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from keras import ops
from rich.console import Console

from training.backend import Tensor, make_deterministic
from training.config import ColumnsConfig, TrainingConfig, apply_settings
from training.data.arrays import Weights
from training.data.split import Split
from training.environment import current_git_state, keras_backend, library_versions, processor
from training.errors import RunError
from training.fit.batches import AddedRows, Batches
from training.fit.checkpoint import EpochRecord, load_checkpoint, save_checkpoint
from training.fit.progress import training_progress
from training.fit.run_folder import RunFolder, RunRecord
from training.fit.teacher import Teacher
from training.fit.trainer import Trainer
from training.fit.training_state import TrainingState, new_state, start_from
from training.network.architecture import network_from_weights, network_weights


def begin(folder: RunFolder, settings: Mapping[str, Any], resume: bool, restart: bool) -> RunRecord:
    """Decide whether a run may go ahead, and write down what it is.

    Args:
        folder: the run's folder, new or not.
        settings: from file, environment and flags, on top of the defaults.
        resume: go on with an unfinished run; its own settings hold.
        restart: delete whatever run there is first.

    Raises:
        RunError: there is a run and neither flag says what to do with it, or none to resume, or other settings.
        ConfigError: a setting is unknown or out of range.
    """
    if goes_on(resume, restart):
        return _resumed(folder, settings)
    config = apply_settings(TrainingConfig(), settings, "settings")
    make_room(folder, restart)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    versions = library_versions()
    record = RunRecord(config, current_git_state(), versions, processor(), started, backend=keras_backend())
    folder.write_record(record)
    return record


def goes_on(resume: bool, restart: bool) -> bool:
    """Is a run to be resumed? Raises RunError where both are asked for."""
    if resume and restart:
        raise RunError("--resume goes on with a run and --restart deletes it: give one of them")
    return resume


def make_room(folder: RunFolder, restart: bool) -> None:
    """Delete the run in the folder if that is asked for. Raises RunError where there is one and it is not."""
    if restart:
        folder.remove()
    if folder.has_begun:
        state = "finished" if folder.is_finished else "unfinished"
        raise RunError(
            f"there is a run {folder.name!r} already, and it is {state}."
            " Go on with it: --resume. Delete it and begin again: --restart. Keep it and begin another: --run NAME"
        )


def check_unchanged(run: str, config: TrainingConfig | ColumnsConfig, settings: Mapping[str, Any]) -> None:
    """Raises RunError where a setting is another than the run of this name was begun with."""
    wanted = apply_settings(config, settings, "settings")
    for each in dataclasses.fields(wanted):
        old, new = getattr(config, each.name), getattr(wanted, each.name)
        if old != new:
            raise RunError(
                f"the run {run!r} was begun with {each.name} = {old}, not {new}, and cannot change half-way."
                " Resume without that setting, or begin another run with --run NAME"
            )


def fit(
    folder: RunFolder, config: TrainingConfig, split: Split, added: AddedRows, console: Console
) -> list[EpochRecord]:
    """Train until the run is finished; its history. A finished run is left as it is.

    KeyboardInterrupt comes through; the last checkpoint is on disk then.

    Args:
        folder: the run; its teachers, if it has any, are runs in the same parent folder.
        config: its settings.
        split: MNIST's rows; the test rows are not used.
        added: rows that join MNIST's in each batch.
        console: shows progress.
    """
    make_deterministic(config.threads)
    state = new_state(config)
    history = _restored(folder, state)
    if folder.is_finished:
        return history
    if config.start and not history:
        start_from(state, config, _first_images(config, split, added))

    def save(so_far: list[EpochRecord]) -> None:
        save_checkpoint(folder.checkpoint, state.arrays(), so_far)
        _write_history(folder, so_far)

    with training_progress(console, config, len(history)) as progress:
        trainer = Trainer(config, split, state, added, _teacher(folder, config))
        history = trainer.train(history, progress, save)
    _write_history(folder, history)  # again: the run may have been stopped between the last checkpoint and its history
    weights = network_weights(state.average)
    folder.write_weights(interpolated(config, split, added, weights) if config.interpolation < 1 else weights)
    return history


def interpolated(config: TrainingConfig, split: Split, added: AddedRows, trained: Weights) -> Weights:
    """Weights on the way from those of the start to the trained ones: most of what is learned is kept, and little of
    the rest is forgotten (Wortsman et al. 2021, arXiv 2109.01903).
    """
    start, share = start_weights(config, split, added), np.float32(config.interpolation)
    return {name: (1 - share) * start[name] + share * array for name, array in trained.items()}


def start_weights(config: TrainingConfig, split: Split, added: AddedRows) -> Weights:
    """The weights that a run with `config.start` begins with; arguments as for `fit`.

    Raises:
        RunError: the file that `start` names cannot be used, or holds another network.
    """
    state = new_state(config)
    start_from(state, config, _first_images(config, split, added))
    return network_weights(state.average)


def _first_images(config: TrainingConfig, split: Split, added: AddedRows) -> Tensor:
    """The images of the first steps, about a thousand."""
    batches = Batches(config, split.train, added)
    steps = itertools.islice(batches.epoch(1), -(-1000 // batches.size))
    return ops.concatenate([batches.images(batches.pixels(rows), np.asarray(step, np.int32)) for step, rows in steps])


def _write_history(folder: RunFolder, history: list[EpochRecord]) -> None:
    folder.write_json("history.json", [dataclasses.asdict(record) for record in history])


def _teacher(folder: RunFolder, config: TrainingConfig) -> Teacher | None:
    if not config.teacher:
        return None
    runs = [RunFolder(folder.path.parent / name.strip()) for name in config.teacher.split(",")]
    networks = [network_from_weights(run.read_record().config, run.read_weights()) for run in runs]
    checksum = hashlib.sha256(b"".join(run.weights.read_bytes() for run in runs)).hexdigest()
    return Teacher(networks, checksum, folder.path.parent / "teachers")


def _restored(folder: RunFolder, state: TrainingState) -> list[EpochRecord]:
    if not folder.checkpoint.exists():
        return []
    arrays, history = load_checkpoint(folder.checkpoint)
    state.restore(arrays)
    return history


def _resumed(folder: RunFolder, settings: Mapping[str, Any]) -> RunRecord:
    record = folder.read_record()
    check_unchanged(folder.name, record.config, settings)
    if record.backend != keras_backend() and not folder.is_finished:
        # The other backend draws other distortions: the rest of the run would not be the run that was begun.
        raise RunError(
            f"the run {folder.name!r} was begun with KERAS_BACKEND={record.backend}, not {keras_backend()}, and cannot"
            " change half-way. Resume it with that, or begin another run with --run NAME"
        )
    git = current_git_state()
    if git.revision != record.git.revision and not folder.is_finished:
        # Two revisions made it, so none of them alone can make it again.
        record = dataclasses.replace(record, git=dataclasses.replace(git, dirty=True))
        folder.write_record(record)
    return record
