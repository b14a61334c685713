"""The column network: convolutions over a strip of any width, eleven outputs for each four columns."""

import keras
import numpy as np

from training.columns.strips import BLANK, HEIGHT
from training.data.arrays import Weights
from training.errors import RunError

FILTERS = (16, 48, 96, 128)
_DROPOUT = 0.2
_NORMALIZATION_MOMENTUM = 0.98


def build_network(filters: tuple[int, int, int, int] = FILTERS) -> keras.Model:
    """An untrained network; its first weights follow Keras' global seed.

    The height shrinks to one row in three poolings and a convolution of full height, the width by FRAME in the first
    two poolings. Each output sees 44 columns.

    Returns:
        a model from (n, 32, w, 1) uint8, w a multiple of FRAME, to (n, w / FRAME, 11) float32 logits: ten digits, and
        BLANK. Its layers are named as the nodes of the exported graph are.
    """
    strip = keras.Input((HEIGHT, None, 1), dtype="uint8", name="ink")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(strip)
    for number, (size, pooling) in enumerate(((5, (2, 2)), (3, (2, 2)), (3, (2, 1))), start=1):
        x = _convolution(x, number, filters[number - 1], (size, size), "same")
        x = keras.layers.MaxPooling2D(pooling, name=f"pooling_{number}")(x)
    x = keras.layers.ZeroPadding2D((0, 2), name="padding_4")(x)
    x = _convolution(x, 4, filters[3], (HEIGHT // 8, 5), "valid")
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


def _convolution(
    x: keras.KerasTensor, number: int, filters: int, size: tuple[int, int], padding: str
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, size, padding=padding, use_bias=False, name=f"convolution_{number}")(x)
    x = keras.layers.BatchNormalization(momentum=_NORMALIZATION_MOMENTUM, name=f"normalization_{number}")(x)
    return keras.layers.ReLU(name=f"convolution_{number}_relu")(x)
