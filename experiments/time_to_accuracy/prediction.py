"""Shared by both sides: prediction, and compilation without changing a weight."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.data.arrays import SIDE, Labels, Pixels

_AT_ONCE = 1000  # images


class Reader:
    """Reads digits with a network from (n, 28, 28, 1) float32 in 0..1 to (n, 10)."""

    def __init__(self, network: keras.Model) -> None:
        self._digits = tf.function(lambda pixels: tf.argmax(network(as_images(pixels), training=False), axis=1))

    def read(self, pixels: Pixels) -> Labels:
        """The digits (n,) in `pixels` (n, 784) uint8."""
        parts = [pixels[start : start + _AT_ONCE] for start in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate([np.asarray(self._digits(tf.constant(part))) for part in parts])


def as_images(pixels: Any) -> tf.Tensor:
    """(n, 784) uint8 to (n, 28, 28, 1) float32 in 0..1."""
    return tf.reshape(tf.cast(pixels, tf.float32) / 255.0, [-1, SIDE, SIDE, 1])


@contextmanager
def left_as_they_are(variables: Sequence[Any]) -> Iterator[None]:
    """Restore these variables when the block ends."""
    values = [np.asarray(variable).copy() for variable in variables]
    yield
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
