"""The trained network as plain numpy arrays in ONNX's layout: normalization folded away, pixels taken as 0..255.

Folding is exact arithmetic on the weights, in float64 and rounded once, so the outputs differ from Keras' only in
float32's last digits; `export.checks` measures by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.arrays import SIDE, Doubles, Floats, Weights

NORMALIZATION_EPSILON = 1e-3  # BatchNormalization's in Keras, which keeps it in the layer and not among the weights


@dataclass(frozen=True, slots=True)
class Convolution:
    """Kernel (filters, channels, size, size) and bias (filters,), both float32; then ReLU, and 2x2 pooling or none."""

    kernel: Floats
    bias: Floats
    padding: int
    input_side: int
    is_pooled: bool

    @property
    def output_side(self) -> int:
        """Pixels per side after the convolution, before pooling."""
        return int(self.input_side + 2 * self.padding - self.kernel.shape[2] + 1)

    @property
    def multiply_adds(self) -> int:
        """Multiplications for one image."""
        return self.kernel.size * self.output_side**2


@dataclass(frozen=True, slots=True)
class Dense:
    """Kernel (inputs, units) float32 and bias (units,) float32."""

    kernel: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class FoldedColumn:
    """Convolutions in order, then the hidden layer (with ReLU), then eleven logits: the digits, and novelty last."""

    convolutions: tuple[Convolution, ...]
    hidden: Dense
    logits: Dense

    @property
    def parameters(self) -> int:
        """Numbers that were learned, after folding."""
        layers: list[Convolution | Dense] = [*self.convolutions, self.hidden, self.logits]
        return sum(layer.kernel.size + layer.bias.size for layer in layers)

    @property
    def multiply_adds(self) -> int:
        """Multiplications for one image."""
        return sum(each.multiply_adds for each in self.convolutions) + self.hidden.kernel.size + self.logits.kernel.size


@dataclass(frozen=True, slots=True)
class FoldedNetwork:
    """Columns that look at the same image; their mean logits are the network's."""

    columns: tuple[FoldedColumn, ...]

    @property
    def logits(self) -> Dense:
        """The layer that takes all columns' hidden units, one column after the other, to the mean of their logits."""
        kernel = np.concatenate([each.logits.kernel for each in self.columns])
        bias = np.sum([each.logits.bias for each in self.columns], axis=0)
        return Dense(_single(kernel / len(self.columns)), _single(bias / len(self.columns)))

    @property
    def parameters(self) -> int:
        """Numbers that were learned, after folding."""
        return sum(column.parameters for column in self.columns)

    @property
    def multiply_adds(self) -> int:
        """Multiplications for one image."""
        return sum(column.multiply_adds for column in self.columns)


def fold(weights: Weights, depths: Sequence[int] = ()) -> FoldedNetwork:
    """Fold the weights of `network.build_network` (any number of columns and convolutions), by variable path.

    Args:
        weights: arrays by the path of their variable.
        depths: convolutions before each pooling; none named: pooling follows each of them.
    """
    columns: list[FoldedColumn] = []
    while f"column_{len(columns) + 1}_hidden/kernel" in weights:
        columns.append(_column(weights, f"column_{len(columns) + 1}", depths))
    return FoldedNetwork(tuple(columns))


def _column(weights: Weights, column: str, depths: Sequence[int]) -> FoldedColumn:
    convolutions: list[Convolution] = []
    side, last_of_stages = SIDE, np.cumsum(depths)
    while (name := f"{column}_convolution_{len(convolutions) + 1}") + "/kernel" in weights:
        is_pooled = not depths or len(convolutions) + 1 in last_of_stages
        convolution = _convolution(weights, name, side, is_pooled, is_first=not convolutions)
        convolutions.append(convolution)
        side = convolution.output_side // 2 if is_pooled else convolution.output_side
    filters = convolutions[-1].kernel.shape[0]
    kernel, bias = _folded(weights, f"{column}_hidden")
    # Keras flattens (row, column, filter), ONNX (filter, row, column): the same inputs in another order.
    kernel = kernel.reshape(side, side, filters, -1).transpose(2, 0, 1, 3).reshape(side * side * filters, -1)
    logits = Dense(weights[f"{column}_logits/kernel"], weights[f"{column}_logits/bias"])
    return FoldedColumn(tuple(convolutions), Dense(_single(kernel), _single(bias)), logits)


def _convolution(weights: Weights, name: str, input_side: int, is_pooled: bool, is_first: bool) -> Convolution:
    kernel, bias = _folded(weights, name)
    kernel = kernel.transpose(3, 2, 0, 1)  # (row, column, channel, filter) to ONNX's order
    padding = 0 if is_first else kernel.shape[2] // 2
    return Convolution(_single(kernel / 255 if is_first else kernel), _single(bias), padding, input_side, is_pooled)


def _folded(weights: Weights, name: str) -> tuple[Doubles, Doubles]:
    """Kernel and bias that do what `name` and the normalization behind it do together.

    Pooling may stand between them. As the normalization has no scale that could be negative, it rises with its input,
    and the largest of four values stays the largest: folding it into the convolution changes nothing.
    """
    beta, mean, variance = (
        weights[f"{name}_normalization/{part}"].astype(np.float64)
        for part in ("beta", "moving_mean", "moving_variance")
    )
    factor = 1 / np.sqrt(variance + NORMALIZATION_EPSILON)
    return weights[f"{name}/kernel"].astype(np.float64) * factor, beta - mean * factor


def _single(array: Doubles | Floats) -> Floats:
    return np.ascontiguousarray(array, np.float32)
