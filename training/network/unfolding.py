"""Turns an exported graph's weights into those of a trainable network: the inverse of `folding`.

1. A folded normalization cannot be separated again, and need not be: each one gets variance 1 and a mean of 0.
2. While training, a normalization uses its batch's mean in place of its own. `settle` therefore measures that mean and
   moves it out of the bias, so that the first steps compute what the exported graph does.
3. Columns' logits were averaged. Each column gets the mean of their biases; the mean of their outputs stays the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from keras import ops
from onnx import numpy_helper

from training.backend import Tensor
from training.config import TrainingConfig
from training.data.arrays import Floats, Weights
from training.errors import RunError
from training.network.folding import NORMALIZATION_EPSILON


def unfolded(path: Path, config: TrainingConfig) -> Weights:
    """The weights of `network.build_network(config)`, by variable path, with the outputs of the graph at `path`.

    Raises:
        RunError: the file cannot be read, or is no float32 graph of `onnx_graph` with the shape of `config`.
    """
    try:
        model = onnx.load(path)
        arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        weights: Weights = {}
        for number in range(1, config.columns + 1):
            weights |= _column(arrays, number, config)
    except (OSError, KeyError, ValueError, DecodeError) as error:
        raise RunError(f"training cannot start from {path}: {error!r}") from error
    return weights


def settle(network: Any, images: Tensor) -> None:
    """Move the means that `images` (n, 28, 28) give in the unfolded network out of its biases; outputs stay equal."""
    layers = [each for each in network.layers if each.name.endswith("_normalization")]
    probe = type(network)(network.inputs, [layer.input for layer in layers])
    values_of_layers = probe(images[..., np.newaxis], training=False)
    for layer, values in zip(layers, values_of_layers if len(layers) > 1 else [values_of_layers], strict=True):
        mean = ops.mean(ops.cast(values, "float32"), axis=list(range(len(values.shape) - 1)))
        layer.moving_mean.assign(mean)
        layer.beta.assign(layer.beta + mean)


def _column(arrays: dict[str, Any], number: int, config: TrainingConfig) -> Weights:
    column = f"column_{number}"
    prefix = f"{column}_" if config.columns > 1 else ""
    weights: Weights = {}
    count = sum(config.depths) or len(config.filters)
    for layer in range(1, count + 1):
        kernel = arrays[f"{prefix}convolution_{layer}_kernel"].transpose(2, 3, 1, 0)
        name = f"{column}_convolution_{layer}"
        bias = arrays[f"{prefix}convolution_{layer}_bias"]
        weights |= _normalized(name, kernel * np.float32(255 if layer == 1 else 1), bias)
    hidden, filters = arrays[f"{prefix}hidden_kernel"], config.filters[-1]
    side = round((len(hidden) / filters) ** 0.5)
    hidden = hidden.reshape(filters, side, side, -1).transpose(1, 2, 0, 3).reshape(len(hidden), -1)
    weights |= _normalized(f"{column}_hidden", hidden, arrays[f"{prefix}hidden_bias"])
    rows = slice((number - 1) * config.dense_units, number * config.dense_units)
    parts = [(arrays[f"{name}_kernel"][rows], arrays[f"{name}_bias"]) for name in ("logits", "novelty_logit")]
    kernels, biases = zip(*parts, strict=True)
    weights[f"{column}_logits/kernel"] = np.concatenate(kernels, axis=1) * np.float32(config.columns)
    weights[f"{column}_logits/bias"] = np.concatenate(biases)
    return weights


def _normalized(name: str, kernel: Floats, bias: Floats) -> Weights:
    """A kernel and, as its normalization, the bias behind it."""
    return {
        f"{name}/kernel": np.ascontiguousarray(kernel, np.float32),
        f"{name}_normalization/beta": np.asarray(bias, np.float32),
        f"{name}_normalization/moving_mean": np.zeros_like(bias),
        f"{name}_normalization/moving_variance": np.full_like(bias, 1 - NORMALIZATION_EPSILON),
    }
