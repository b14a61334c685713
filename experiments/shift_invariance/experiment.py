"""Shift invariance as an experiment: dense layers and convolutions on digits, shuffled digits and shifted digits.

1. Two networks of equally many numbers to learn, trained alike, by Keras' compile and fit.
2. Each learns from digits as they are, and from digits whose pixels are all permuted by one fixed shuffle.
3. Each reads test digits that are moved by some pixels, then shuffled where it learned from shuffled ones.

The test rows decide nothing: neither network was tuned, and each runs for the same number of epochs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from training.data.arrays import CLASSES, PIXELS, SIDE, Floats, LabelledDigits, Pixels

SEEDS = (1, 2, 3)
SHIFTS = (0, 1, 2, 3, 4)  # pixels
EPOCHS = 5
BATCH_SIZE = 128
SHUFFLE_SEED = 0
_DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: which network, on which pixels, from which seed."""

    network: str  # one of NETWORKS
    is_shuffled: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a trial. `accuracies`: 0 to 1, on test digits moved by each of `shifts` pixels, four ways each."""

    trial: Trial
    parameters: int
    shifts: tuple[int, ...]
    accuracies: tuple[float, ...]


def dense_network() -> keras.Model:
    """Two dense layers of 116 units: 105,802 parameters, (n, 28, 28, 1) to (n, 10) probabilities."""
    hidden = [keras.layers.Dense(116, activation="relu") for _ in range(2)]
    return _network([keras.layers.Flatten(), *hidden])


def convolutional_network() -> keras.Model:
    """Two convolutions, each with pooling, and a dense layer of 64: 105,866 parameters, shapes as above."""
    stages = [
        layer
        for filters in (16, 32)
        for layer in (
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
        )
    ]
    return _network([*stages, keras.layers.Flatten(), keras.layers.Dense(64, activation="relu")])


NETWORKS: dict[str, Callable[[], keras.Model]] = {"dense": dense_network, "convolutional": convolutional_network}
TRIALS = tuple(
    Trial(network, is_shuffled, seed) for seed in SEEDS for network in NETWORKS for is_shuffled in (False, True)
)


def shuffle() -> npt.NDArray[np.int64]:
    """The one shuffle: where each of the 784 pixels of a shuffled digit comes from."""
    return np.random.default_rng(SHUFFLE_SEED).permutation(PIXELS)


def moved(pixels: Pixels, down: int, right: int) -> Pixels:
    """Digits (n, 784) moved by so many pixels; what leaves the sheet is gone, and paper comes in."""
    images = pixels.reshape(-1, SIDE, SIDE)
    there = np.zeros_like(images)
    there[:, max(down, 0) : SIDE + min(down, 0), max(right, 0) : SIDE + min(right, 0)] = images[
        :, max(-down, 0) : SIDE + min(-down, 0), max(-right, 0) : SIDE + min(-right, 0)
    ]
    return there.reshape(-1, PIXELS)


def run_trial(
    trial: Trial, train: LabelledDigits, test: LabelledDigits, epochs: int = EPOCHS, shifts: Sequence[int] = SHIFTS
) -> tuple[Outcome, Floats]:
    """Train and evaluate one network; its outcome, and the kernel of its first layer that has one."""
    keras.utils.set_random_seed(trial.seed)
    network = NETWORKS[trial.network]()
    network.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    network.fit(_images(train.pixels, trial), train.labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    accuracies = [_accuracy(network, trial, test, shift) for shift in shifts]
    (first, *_) = (layer for layer in network.layers if layer.weights)
    outcome = Outcome(trial, network.count_params(), tuple(shifts), tuple(accuracies))
    return outcome, np.asarray(first.kernel, np.float32)


def _accuracy(network: keras.Model, trial: Trial, test: LabelledDigits, shift: int) -> float:
    """Mean accuracy over the directions, all predicted in one call: each call of Keras' predict is slow to start."""
    ways = [(shift * down, shift * right) for down, right in _DIRECTIONS] if shift else [(0, 0)]
    pixels = np.concatenate([moved(test.pixels, down, right) for down, right in ways])
    digits = network.predict(_images(pixels, trial), batch_size=1000, verbose=0).argmax(axis=1)
    return float(np.mean([np.mean(each == test.labels) for each in digits.reshape(len(ways), -1)]))


def _images(pixels: Pixels, trial: Trial) -> Floats:
    """(n, 28, 28, 1) float32, 0 to 1."""
    if trial.is_shuffled:
        pixels = pixels[:, shuffle()]
    return pixels.reshape(-1, SIDE, SIDE, 1).astype(np.float32) / np.float32(255)


def _network(layers: Sequence[keras.Layer]) -> keras.Model:
    output = keras.layers.Dense(CLASSES, activation="softmax")
    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), *layers, output])
