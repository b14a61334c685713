"""With `sam_radius` a step follows the gradients found so far up the slope (Foret et al. 2021, arXiv 2010.01412)."""

import dataclasses
import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from rich.console import Console

from tests.support.tiny_training import TINY
from training.data.split import Split
from training.fit.batches import AddedRows
from training.fit.progress import training_progress
from training.fit.trainer import Trainer
from training.fit.training_state import TrainingState, new_state

RADIUS = 0.5
ONE_STEP = dataclasses.replace(TINY, train_images=TINY.batch_size, epochs=1)
FIRST_MOMENT = 0.1  # what AdamW's momentum, zero before, takes of the first step's gradients


def test_a_step_follows_the_gradients_up_the_slope(small_split: Split, added: AddedRows) -> None:
    sharpness_aware, plain, moved = (new_state(ONE_STEP) for _ in range(3))
    _step(sharpness_aware, small_split, added, RADIUS)
    _step(plain, small_split, added, 0.0)
    slopes = _slopes(plain)
    length = np.sqrt(sum(np.sum(each.astype(np.float64) ** 2) for each in slopes.values()))
    for variable in moved.network.trainable_variables:
        variable.assign_add(RADIUS / length * slopes[variable.path])
    _step(moved, small_split, added, 0.0)
    found, expected = _slopes(sharpness_aware), _slopes(moved)
    for path, slope in expected.items():
        np.testing.assert_allclose(found[path], slope, rtol=1e-3, atol=1e-4 * np.abs(slope).max(), err_msg=path)
    assert any(np.abs(found[path] - slope).max() > 0.1 * np.abs(slope).max() for path, slope in slopes.items())


def test_the_climb_leaves_no_trace_in_the_statistics(small_split: Split, added: AddedRows) -> None:
    sharpness_aware, plain = new_state(ONE_STEP), new_state(ONE_STEP)
    _step(sharpness_aware, small_split, added, RADIUS)
    _step(plain, small_split, added, 0.0)
    for one, other in zip(
        sharpness_aware.network.non_trainable_weights, plain.network.non_trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)


def _step(state: TrainingState, split: Split, added: AddedRows, radius: float) -> None:
    config = dataclasses.replace(ONE_STEP, sam_radius=radius)
    with training_progress(Console(file=io.StringIO()), config, 0) as progress:
        Trainer(config, split, state, added).train([], progress, lambda _: None)


def _slopes(state: TrainingState) -> Mapping[str, npt.NDArray[np.float32]]:
    """By the path of the variable: the gradients of the first step."""
    trained = state.network.trainable_variables
    momenta = [each for each in state.optimizer.variables if each.path.endswith("_momentum")]
    assert len(momenta) == len(trained)
    return {
        one.path: np.asarray(other, np.float32) / np.float32(FIRST_MOMENT)
        for one, other in zip(trained, momenta, strict=True)
    }
