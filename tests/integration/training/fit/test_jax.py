"""With KERAS_BACKEND=jax and no TensorFlow the recipe trains, and its steps are those of TensorFlow."""

import dataclasses
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.support.processes import completed
from training.config import TrainingConfig, apply_settings
from training.data.arrays import LabelledDigits
from training.data.split import Split
from training.errors import RunError
from training.fit.batches import AddedRows
from training.fit.checkpoint import load_checkpoint, save_checkpoint
from training.fit.committee import join
from training.fit.run_folder import RunFolder
from training.fit.training_run import begin, fit
from training.fit.training_state import new_state
from training.network.architecture import network_from_weights

STEPS = 5
SMALL = {
    **{"train_images": 32, "validation_images": 200, "split": "rows", "batch_size": 32, "warmup_epochs": 0.0},
    **{"synthetic_images": 0, "other_handwriting_images": 4, "filters": [4, 4], "dense_units": 8, "threads": 1},
    "degraded": 0.5,  # two images of each kind
}
# An epoch of one step, so that the history has the loss of each. Nothing is drawn but the order of the rows.
ALIKE = {
    **SMALL,
    **{"epochs": STEPS, "convolution_precision": "float32", "dropout": 0.0, "degraded": 0.0, "wild": 0.0},
    **dict.fromkeys(("rotation_degrees", "shear", "scale", "aspect", "shift_pixels", "elastic_pixels", "stroke"), 0.0),
}
RUNS = [{"name": "alike", "settings": ALIKE}, {"name": "whole", "settings": {**SMALL, "epochs": 2}}]


@pytest.fixture(scope="module")
def few(digits: LabelledDigits) -> LabelledDigits:
    return digits.take(np.arange(200))


@pytest.fixture(scope="module")
def on_jax(few: LabelledDigits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs, trained on JAX; `alike` began with TensorFlow's first weights."""
    work = tmp_path_factory.mktemp("jax")
    np.savez(work / "digits.npz", pixels=few.pixels, labels=few.labels)
    (work / "runs.json").write_text(json.dumps(RUNS))
    first = RunFolder(work / "alike").checkpoint
    first.parent.mkdir()
    save_checkpoint(first, new_state(_config(ALIKE)).arrays(), [])
    shutil.copytree(first.parent, work / "on-tensorflow")
    command = [sys.executable, "-m", "tests.support.jax_training", str(work)]
    # Compiled in half the time, and run more slowly: there are seven steps.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    ended = completed(command, env=environment, cwd=Path(__file__).parents[4], seconds=600)
    assert ended.returncode == 0, ended.stderr
    return work


def _config(settings: dict[str, Any]) -> TrainingConfig:
    return apply_settings(TrainingConfig(), settings, "settings")


def test_the_first_steps_are_those_of_tensorflow(on_jax: Path, few: LabelledDigits) -> None:
    """Losses, weights, their averages and AdamW's state, after five steps from the same weights."""
    here, there = RunFolder(on_jax / "on-tensorflow"), RunFolder(on_jax / "alike")
    fit(here, _config(ALIKE), Split(few, few, few), AddedRows(other_handwriting=few), Console(file=io.StringIO()))
    (arrays, history), (found, found_history) = load_checkpoint(here.checkpoint), load_checkpoint(there.checkpoint)
    assert arrays["adamw/optimizer/iteration"] == len(history) == STEPS
    for one, other in zip(history, found_history, strict=True):
        expected = one.loss, one.accuracy, one.validation_loss, one.learning_rate
        assert (other.loss, other.accuracy, other.validation_loss, other.learning_rate) == pytest.approx(expected, 3e-6)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():  # the rate of 0.003 moved them by some thousand times as much
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=5e-6, err_msg=name)


def test_the_whole_recipe_trains_without_tensorflow(on_jax: Path) -> None:
    """Distortions, all kinds of damage, dropout and bfloat16 included."""
    run = RunFolder(on_jax / "whole")
    record = run.read_record()
    assert record.backend == "jax"
    assert {"keras", "jax", "jaxlib"} <= record.libraries.keys()
    assert "tensorflow" not in record.libraries
    history = run.read_json("history.json")
    assert len(history) == 2
    assert all(0 < epoch["loss"] < 10 for epoch in history)
    network = network_from_weights(record.config, run.read_weights())  # read here, by the other backend
    untrained = new_state(record.config).network
    assert np.abs(network.get_weights()[0] - untrained.get_weights()[0]).max() > 0.001


def test_a_run_of_the_other_backend_is_not_resumed(on_jax: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(on_jax / "whole", folder.path)
    folder.weights.unlink()  # as if it had been stopped after its last checkpoint
    with pytest.raises(RunError, match=r"'run' was begun with KERAS_BACKEND=jax, not tensorflow"):
        begin(folder, {}, resume=True, restart=False)


def test_a_committee_is_of_one_backend(on_jax: Path, tmp_path: Path) -> None:
    for name, backend in (("one", "jax"), ("other", "tensorflow")):
        shutil.copytree(on_jax / "whole", tmp_path / name)
        run = RunFolder(tmp_path / name)
        run.write_record(dataclasses.replace(run.read_record(), backend=backend))
    with pytest.raises(
        RunError, match="'one' and 'other' differ in more than seed, data_seed, epochs, other_handwriting_images"
    ):
        join(RunFolder(tmp_path / "committee"), [RunFolder(tmp_path / name) for name in ("one", "other")])
