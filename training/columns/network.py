"""The column network: convolutions over a strip of any width, eleven outputs for each four columns."""

import keras
import numpy as np

from training.columns.strips import BLANK, HEIGHT
from training.data.arrays import Weights
from training.errors import RunError

FILTERS = (16, 48, 96, 128)
_DROPOUT = 0.2
_NORMALIZATION_MOMENTUM = 0.98


def build_network(precision: str = "float32") -> keras.Model:
    """An untrained network; its first weights follow Keras' global seed.

    The height shrinks to one row in three poolings and a convolution of full height, the width by FRAME in the first
    two poolings. Each output sees 44 columns.

    Args:
        precision: what every convolution but the first and the last multiplies in: `float32`, or `bfloat16` while it is
            trained. The weights are float32 in both.

    Returns:
        a model from (n, 32, w, 1) uint8, w a multiple of FRAME, to (n, w / FRAME, 11) float32 logits: ten digits, and
        BLANK. Its layers are named as the nodes of the exported graph are.
    """
    strip = keras.Input((HEIGHT, None, 1), dtype="uint8", name="ink")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(strip)
    for number, (size, pooling) in enumerate(((5, (2, 2)), (3, (2, 2)), (3, (2, 1))), start=1):
        # With a single channel in, bfloat16 has nothing to multiply side by side.
        policy = _policy(precision if number > 1 else "float32")
        x = _convolution(x, number, (size, size), "same", policy)
        # Pooled before it is normalized: a quarter of the values to normalize. Without a scale the normalization rises
        # with its input, so it can be folded into the convolution all the same.
        x = keras.layers.MaxPooling2D(pooling, name=f"pooling_{number}", dtype=policy)(x)
        x = _normalized_relu(x, number)
    x = keras.layers.ZeroPadding2D((0, 2), name="padding_4")(x)
    x = _convolution(x, 4, (HEIGHT // 8, 5), "valid", _policy(precision))
    x = _normalized_relu(x, 4)
    x = keras.layers.Dropout(_DROPOUT, name="dropout")(x)
    x = keras.layers.Conv2D(BLANK + 1, (1, 3), padding="same", name="logits")(x)
    return keras.Model(strip, keras.layers.Reshape((-1, BLANK + 1), name="frames")(x), name="columns")


def network_weights(network: keras.Model) -> Weights:
    """The weights that inference uses, by variable path, such as `convolution_1/kernel`."""
    return {each.path: np.asarray(each) for each in network.weights}


def network_from_weights(weights: Weights) -> keras.Model:
    """The network that `network_weights` was taken from.

    Raises:
        RunError: the weights belong to another network.
    """
    network = build_network()
    if {each.path: tuple(each.shape) for each in network.weights} != {k: v.shape for k, v in weights.items()}:
        raise RunError("these weights belong to another network than this code builds: use --restart")
    for each in network.weights:
        each.assign(weights[each.path])
    return network


def _policy(precision: str) -> str:
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def _convolution(
    x: keras.KerasTensor, number: int, size: tuple[int, int], padding: str, policy: str
) -> keras.KerasTensor:
    name = f"convolution_{number}"
    return keras.layers.Conv2D(FILTERS[number - 1], size, padding=padding, use_bias=False, name=name, dtype=policy)(x)


def _normalized_relu(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    normalization = keras.layers.BatchNormalization(
        momentum=_NORMALIZATION_MOMENTUM, scale=False, name=f"normalization_{number}"
    )
    return keras.layers.ReLU(name=f"convolution_{number}_relu")(normalization(x))
