"""The network: columns of stages of convolutions with pooling, and a hidden dense layer; its weights as arrays."""

from collections.abc import Iterator

import keras
import numpy as np

from training.config import TrainingConfig
from training.data.arrays import CLASSES, SIDE, Weights
from training.errors import RunError

_NORMALIZATION_MOMENTUM = 0.95  # of 430 steps per epoch: statistics of the last tens of steps, not of hundreds


def build_network(config: TrainingConfig, precision: str = "float32") -> keras.Model:
    """An untrained network; its first weights follow Keras' global seed.

    Several columns are networks of their own that look at the same image (Ciresan et al. 2012, arXiv 1202.2745):
    each is trained by its own outputs, and what is exported is the mean of their logits.

    Of each column, the first convolution is 5x5 without padding: it takes 28x28 to 24x24, which cuts away little but
    MNIST's empty margin and saves a quarter of the work of every later layer. The others are 3x3 with padding.

    Args:
        config: filters, depths, dense units, dropout and columns.
        precision: what every convolution but the first multiplies in: `float32`, or `bfloat16` while it is trained.
            The weights are float32 in both.

    Returns:
        a model from (n, 28, 28, 1) float32 in 0..1 to (n, columns, 11) float32 logits: the ten digits (softmax), and
        last, novelty: that the image is no digit (sigmoid, on its own). Its layers are named as the nodes of the
        exported graph are.
    """
    image = keras.Input((SIDE, SIDE, 1), name="image")
    outputs = [_column(image, f"column_{number}", config, precision) for number in range(1, config.columns + 1)]
    stacked = keras.layers.Concatenate(axis=1, name="outputs")(outputs) if config.columns > 1 else outputs[0]
    return keras.Model(image, stacked, name="mnist")


def network_weights(network: keras.Model) -> Weights:
    """The weights that inference uses, by variable path, such as `convolution_1/kernel`."""
    return {each.path: np.asarray(each) for each in network.weights}


def network_from_weights(config: TrainingConfig, weights: Weights) -> keras.Model:
    """The network that `network_weights` was taken from.

    Raises:
        RunError: the weights belong to another network.
    """
    network = build_network(config)
    if {each.path: tuple(each.shape) for each in network.weights} != {k: v.shape for k, v in weights.items()}:
        raise RunError("these weights belong to another network than this code builds with these settings")
    for each in network.weights:
        each.assign(weights[each.path])
    return network


def _column(image: keras.KerasTensor, column: str, config: TrainingConfig, precision: str) -> keras.KerasTensor:
    x = image
    for number, (filters, is_last_of_stage) in enumerate(_convolutions(config), start=1):
        size, padding = (5, "valid") if number == 1 else (3, "same")
        # With a single channel in, bfloat16 has nothing to multiply side by side.
        policy = "mixed_bfloat16" if precision == "bfloat16" and number > 1 else "float32"
        name = f"{column}_convolution_{number}"
        x = keras.layers.Conv2D(filters, size, padding=padding, use_bias=False, name=name, dtype=policy)(x)
        if is_last_of_stage:
            # Pooled before it is normalized: a quarter of the values to normalize, a third of a step's time. Without
            # a scale the normalization rises with its input, so it can be folded into the convolution all the same.
            x = keras.layers.MaxPooling2D(2, name=f"{column}_pooling_{number}", dtype=policy)(x)
        x = _normalized_relu(x, name)
    x = keras.layers.Flatten(name=f"{column}_features")(x)
    x = keras.layers.Dense(config.dense_units, use_bias=False, name=f"{column}_hidden")(x)
    x = _normalized_relu(x, f"{column}_hidden")
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, seed=0, name=f"{column}_dropout")(x)
    logits = keras.layers.Dense(CLASSES + 1, name=f"{column}_logits")(x)
    return keras.layers.Reshape((1, CLASSES + 1), name=f"{column}_output")(logits)


def _convolutions(config: TrainingConfig) -> Iterator[tuple[int, bool]]:
    """Filters of each convolution, and whether pooling follows."""
    for filters, depth in zip(config.filters, config.depths or [1] * len(config.filters), strict=True):
        yield from ((filters, number == depth) for number in range(1, depth + 1))


def _normalized_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    normalization = keras.layers.BatchNormalization(
        momentum=_NORMALIZATION_MOMENTUM, scale=False, name=f"{name}_normalization"
    )
    return keras.layers.ReLU(name=f"{name}_relu")(normalization(x))
