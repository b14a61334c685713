"""The trained network as plain numpy arrays in ONNX's layout: normalization folded away, pixels taken as 0..255.

Folding is exact arithmetic on the weights, in float64 and rounded once, so the answers differ from Keras' only in
float32's last digits; `export_checks` measures by how much.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import SIDE, Doubles, Floats, Weights

_EPSILON = 1e-3  # BatchNormalization's in Keras, which keeps it in the layer and not among the weights


@dataclass(frozen=True, slots=True)
class Convolution:
    """Kernel (filters, channels, size, size) float32 and bias (filters,), both float32; then ReLU and 2x2 pooling."""

    kernel: Floats
    bias: Floats
    padding: int
    input_side: int

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
class FoldedNetwork:
    """Convolutions in order, then the hidden layer (with ReLU), then the ten logits."""

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


def fold(weights: Weights) -> FoldedNetwork:
    """Fold the weights of `network.build_network` (any number of convolutions), by variable path."""
    convolutions: list[Convolution] = []
    side = SIDE
    while f"convolution_{len(convolutions) + 1}/kernel" in weights:
        first = not convolutions
        convolution = _convolution(
            weights, f"convolution_{len(convolutions) + 1}", side, scale=1 / 255 if first else 1.0
        )
        convolutions.append(convolution)
        side = convolution.output_side // 2
    filters = convolutions[-1].kernel.shape[0]
    kernel, bias = _folded(weights, "hidden")
    # Keras flattens (row, column, filter), ONNX (filter, row, column): the same inputs in another order.
    kernel = kernel.reshape(side, side, filters, -1).transpose(2, 0, 1, 3).reshape(side * side * filters, -1)
    logits = Dense(weights["logits/kernel"], weights["logits/bias"])
    return FoldedNetwork(tuple(convolutions), Dense(_single(kernel), _single(bias)), logits)


def _convolution(weights: Weights, name: str, input_side: int, scale: float) -> Convolution:
    kernel, bias = _folded(weights, name)
    kernel = (kernel * scale).transpose(3, 2, 0, 1)  # (row, column, channel, filter) to ONNX's order
    padding = 0 if name == "convolution_1" else kernel.shape[2] // 2
    return Convolution(_single(kernel), _single(bias), padding, input_side)


def _folded(weights: Weights, name: str) -> tuple[Doubles, Doubles]:
    """Kernel and bias that do what `name` and the normalization behind it do together."""
    gamma, beta, mean, variance = (
        weights[f"{name}_normalization/{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + _EPSILON)
    return weights[f"{name}/kernel"].astype(np.float64) * factor, beta - mean * factor


def _single(array: Doubles) -> Floats:
    return np.ascontiguousarray(array, np.float32)
