"""The rows of MNIST by use: training, validation (both from its 60,000 training rows) and test."""

from dataclasses import dataclass

import numpy as np

from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist
from training.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Split:
    """Three disjoint parts: `train` fits the weights, `validation` makes every choice, `test` gives figures only."""

    train: LabelledDigits
    validation: LabelledDigits
    test: LabelledDigits


def split_mnist(mnist: Mnist, train_images: int, validation_images: int, seed: int) -> Split:
    """A random split that depends on nothing but the seed and the number of training rows.

    The validation rows are drawn first, so that they stay the same however many rows train.

    Raises:
        ConfigError: the two parts need more rows than there are.
    """
    if train_images + validation_images > len(mnist.train):
        raise ConfigError(
            f"train_images = {train_images} and validation_images = {validation_images} together need more than"
            f" the {len(mnist.train)} rows there are"
        )
    order = np.random.default_rng(seed).permutation(len(mnist.train))
    return Split(
        train=mnist.train.take(order[validation_images : validation_images + train_images]),
        validation=mnist.train.take(order[:validation_images]),
        test=mnist.test,
    )
