"""Weights that come back from an exported graph answer as it does, and as they did before."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.support.tiny_training import TINY
from training.data.arrays import LabelledDigits, Weights
from training.data.split import Split
from training.errors import RunError
from training.export.onnx_graph import onnx_model
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.fit.training_run import fit, start_weights
from training.fit.training_state import new_state
from training.network.architecture import network_from_weights, network_weights
from training.network.folding import fold
from training.network.outputs import as_images, network_outputs
from training.network.unfolding import settle, unfolded


def _write_graph(path: Path, weights: dict[str, Any], depths: tuple[int, ...]) -> Path:
    path.write_bytes(onnx_model(fold(weights, depths), 1.3, {}, 1, "text").SerializeToString())
    return path


@pytest.mark.parametrize("shape", [{}, {"columns": 2}, {"depths": (1, 2, 1)}], ids=["plain", "columns", "deeper"])
def test_unfolding_undoes_folding_in_every_shape(shape: dict[str, Any], digits: LabelledDigits, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, **shape)
    generator = np.random.default_rng(0)
    weights = network_weights(new_state(config).network)
    for name, value in weights.items():
        if "variance" in name:
            weights[name] = generator.uniform(0.03, 0.2, value.shape).astype(np.float32)
        elif "normalization" in name:
            weights[name] = generator.uniform(-0.1, 0.2, value.shape).astype(np.float32)
    expected = network_outputs(network_from_weights(config, weights), digits.pixels)
    path = _write_graph(tmp_path / "model.onnx", weights, config.depths)
    network = network_from_weights(config, unfolded(path, config))
    for settled in (False, True):
        if settled:
            settle(network, as_images(tf.constant(digits.pixels[:100])))
        found = network_outputs(network, digits.pixels)
        np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.novelty_logits, expected.novelty_logits, rtol=1e-4, atol=1e-4)


def test_a_run_goes_on_from_a_model_file(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    path = _write_graph(tmp_path / "model.onnx", finished_run.read_weights(), TINY.depths)

    def first_epoch(name: str, **changes: Any) -> float:
        config = dataclasses.replace(
            TINY, epochs=1, seed=9, learning_rate=1e-6, **changes
        )  # so it stays where it begins
        (record,) = fit(RunFolder(tmp_path / name), config, small_split, added, Console(file=io.StringIO()))
        return record.loss

    assert first_epoch("further", start=str(path)) < first_epoch("from-chance")


def test_a_result_lies_on_the_way_from_its_start(
    finished_run: RunFolder, small_split: Split, added: AddedRows, tmp_path: Path
) -> None:
    path = _write_graph(tmp_path / "model.onnx", finished_run.read_weights(), TINY.depths)
    config = dataclasses.replace(TINY, epochs=1, start=str(path))

    def result(interpolation: float) -> Weights:
        run = RunFolder(tmp_path / f"at {interpolation}")
        fit(
            run,
            dataclasses.replace(config, interpolation=interpolation),
            small_split,
            added,
            Console(file=io.StringIO()),
        )
        return run.read_weights()

    start, end, between = result(0.0), result(1.0), result(0.25)
    assert not all(np.array_equal(start[name], end[name]) for name in end)
    for name, array in start_weights(config, small_split, added).items():
        np.testing.assert_array_equal(start[name], array)
        np.testing.assert_allclose(between[name], 0.75 * start[name] + 0.25 * end[name], rtol=1e-5, atol=1e-6)


def test_a_file_that_cannot_be_the_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot start from .*no-such\.onnx"):
        unfolded(tmp_path / "no-such.onnx", TINY)
    weights = network_weights(new_state(TINY).network)
    path = _write_graph(tmp_path / "model.onnx", weights, ())
    with pytest.raises(RunError, match=r"cannot start from .*model\.onnx.*column_1_convolution_1_kernel"):
        unfolded(path, dataclasses.replace(TINY, columns=2))
    (tmp_path / "garbage.onnx").write_bytes(b"no protobuf")
    with pytest.raises(RunError, match=r"cannot start from .*garbage\.onnx"):
        unfolded(tmp_path / "garbage.onnx", TINY)
