"""The network: three convolutions with pooling, one hidden dense layer, ten logits. Knows nothing of training."""

from collections.abc import Sequence

import keras

from training.arrays import CLASSES, SIDE

_NORMALIZATION_MOMENTUM = 0.95  # of 430 steps per epoch: statistics of the last tens of steps, not of hundreds


def build_network(filters: Sequence[int], dense_units: int, dropout: float) -> keras.Model:
    """An untrained network; its first weights follow Keras' global seed.

    The first convolution is 5x5 without padding: it takes 28x28 to 24x24, which cuts away little but MNIST's empty
    margin and saves a quarter of the work of every later layer. The others are 3x3 with padding.

    Returns:
        a model from (n, 28, 28, 1) float32 in 0..1 to (n, 10) float32 logits. Its layers are named as the nodes of
        the exported graph are.
    """
    image = keras.Input((SIDE, SIDE, 1), name="image")
    x = image
    for number, count in enumerate(filters, start=1):
        size, padding = (5, "valid") if number == 1 else (3, "same")
        convolution = keras.layers.Conv2D(count, size, padding=padding, use_bias=False, name=f"convolution_{number}")
        x = _normalized_relu(convolution(x), f"convolution_{number}")
        x = keras.layers.MaxPooling2D(2, name=f"pooling_{number}")(x)
    x = keras.layers.Flatten(name="features")(x)
    hidden = keras.layers.Dense(dense_units, use_bias=False, name="hidden")
    x = _normalized_relu(hidden(x), "hidden")
    if dropout:
        x = keras.layers.Dropout(dropout, seed=0, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, name="logits")(x), name="mnist")


def _normalized_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=_NORMALIZATION_MOMENTUM, name=f"{name}_normalization")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
