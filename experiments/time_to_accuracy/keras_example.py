"""The reference: Keras' own example for MNIST (keras.io/examples/vision/mnist_convnet), by compile and fit.

The network, the optimizer and the batch size are the example's; it shuffles, and holds back no validation rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from experiments.time_to_accuracy.prediction import Reader, left_as_they_are
from training.data.arrays import CLASSES, SIDE, LabelledDigits, Labels, Pixels

BATCH_SIZE = 128
_ENDLESS = 1_000_000  # epochs: the race ends it


class KerasExample:
    """Two convolutions, dropout, one dense layer; Adam with its defaults."""

    name = "Keras example"

    def __init__(self, rows: LabelledDigits, images_between_evaluations: int, seed: int) -> None:
        self._rows = rows
        self._steps_between_evaluations = max(1, images_between_evaluations // BATCH_SIZE)
        self._seed = seed

    def prepare(self) -> None:
        """Float32 images, one-hot labels, the network; compiled by a step on a whole batch and one on a rest."""
        keras.utils.set_random_seed(self._seed)
        self._images = self._rows.pixels.reshape(-1, SIDE, SIDE, 1).astype(np.float32) / np.float32(255)
        self._targets = keras.utils.to_categorical(self._rows.labels, CLASSES)
        self._network = example_network()
        self._network.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
        self._network.optimizer.build(self._network.trainable_variables)
        self._reader = Reader(self._network)
        with left_as_they_are([*self._network.variables, *self._network.optimizer.variables]):
            few = BATCH_SIZE + BATCH_SIZE // 2
            self._network.fit(self._images[:few], self._targets[:few], batch_size=BATCH_SIZE, verbose=0)

    def train(self, evaluate: Callable[[int], bool]) -> None:
        """One call of fit, as the example has it."""
        callback = _Evaluations(evaluate, self._steps_between_evaluations)
        self._network.fit(
            self._images, self._targets, batch_size=BATCH_SIZE, epochs=_ENDLESS, verbose=0, callbacks=[callback]
        )

    def read(self, pixels: Pixels) -> Labels:
        """The likeliest digits."""
        return self._reader.read(pixels)


class _Evaluations(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Calls `evaluate` after every so many steps; its result decides whether training goes on."""

    def __init__(self, evaluate: Callable[[int], bool], steps_between: int) -> None:
        super().__init__()
        self._evaluate, self._steps_between, self._steps = evaluate, steps_between, 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keras' name."""
        del batch, logs
        self._steps += 1
        if self._steps % self._steps_between == 0:
            self.model.stop_training = not self._evaluate(self._steps * BATCH_SIZE)


def example_network() -> keras.Model:
    """The example's network: 34,826 parameters, (n, 28, 28, 1) to (n, 10) probabilities."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
