"""The column network's graph against Keras, and what travels in the file."""

import keras
import numpy as np
import onnx
import pytest

from training.columns.graph import check, columns_model
from training.columns.network import build_network, network_from_weights, network_weights
from training.columns.reading import best_path
from training.columns.strips import BLANK, FRAME, HEIGHT, WIDEST, StripSet
from training.data.arrays import Weights
from training.errors import ExportError, RunError
from training.export.checks import runtime_session


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Random ones, those of the normalizations too."""
    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(3)
    made = network_weights(build_network())
    for name, value in made.items():
        if name.startswith("normalization"):
            made[name] = generator.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def strips() -> StripSet:
    pixels = np.random.default_rng(5).integers(0, 256, (20, HEIGHT, WIDEST), np.uint8)
    none = np.zeros((20, 5))
    return StripSet(
        pixels, np.full(20, WIDEST), none.astype(np.int64), none.astype(np.float32), none.astype(np.float32)
    )


@pytest.mark.parametrize(("count", "width"), [(1, FRAME), (3, 36), (20, WIDEST), (2, 2 * WIDEST)])
def test_onnx_runtime_gives_what_keras_gives(weights: Weights, count: int, width: int) -> None:
    ink = np.random.default_rng(width).integers(0, 256, (count, HEIGHT, width), np.uint8)
    session = runtime_session(columns_model(weights, {}).SerializeToString())
    (found,) = session.run(["probabilities"], {"ink": ink[:, np.newaxis]})
    expected = keras.ops.softmax(network_from_weights(weights)(ink[..., np.newaxis], training=False))
    assert found.shape == (count, width // FRAME, BLANK + 1)
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-4)


def test_the_server_finds_the_names_and_types_it_asks_for(weights: Weights) -> None:
    session = runtime_session(columns_model(weights, {}).SerializeToString())
    (ink,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (ink.name, ink.type, ink.shape[1:3]) == ("ink", "tensor(uint8)", [1, HEIGHT])
    assert (probabilities.name, probabilities.type) == ("probabilities", "tensor(float)")


def test_the_file_says_how_it_was_made(weights: Weights) -> None:
    model = columns_model(weights, {"training": "{}", "git_revision": "a" * 40})
    found = onnx.load_from_string(model.SerializeToString())
    assert {each.key: each.value for each in found.metadata_props} == {"training": "{}", "git_revision": "a" * 40}


def test_a_graph_that_differs_from_keras_is_refused(weights: Weights, strips: StripSet) -> None:
    network = network_from_weights(weights)
    assert check(columns_model(weights, {}).SerializeToString(), network, strips) < 1e-4
    other = {**weights, "logits/bias": np.arange(BLANK + 1, dtype=np.float32)}
    with pytest.raises(ExportError, match="differs from Keras"):
        check(columns_model(other, {}).SerializeToString(), network, strips)


def test_weights_of_another_network_are_refused(weights: Weights) -> None:
    with pytest.raises(RunError, match="another network"):
        network_from_weights({**weights, "logits/bias": np.zeros(3, np.float32)})


def test_runs_of_one_digit_are_one_digit_and_a_blank_parts_two() -> None:
    frames = np.array([[BLANK, 3, 3, BLANK, 3, 1, 1], [7, 7, 7, 7, 7, 7, 7], [BLANK] * 7])
    assert best_path(np.eye(BLANK + 1, dtype=np.float32)[frames]) == [[3, 3, 1], [7], []]
