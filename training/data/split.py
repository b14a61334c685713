"""Which of MNIST's 60,000 training rows train the network and which judge it. The test rows are never here."""

from dataclasses import dataclass

import numpy as np

from training.data.arrays import LabelledDigits
from training.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Split:
    """Two disjoint parts of the training rows."""

    train: LabelledDigits
    validation: LabelledDigits


def split_rows(digits: LabelledDigits, train_images: int, validation_images: int, seed: int) -> Split:
    """A random split that depends on nothing but the seed and the number of rows.

    The validation rows are drawn first, so that they stay the same however many rows train.

    Raises:
        ConfigError: more rows are asked for than there are.
    """
    if train_images + validation_images > len(digits):
        raise ConfigError(
            f"train_images = {train_images} and validation_images = {validation_images} together ask for more than"
            f" the {len(digits)} rows there are"
        )
    order = np.random.default_rng(seed).permutation(len(digits))
    return Split(
        train=digits.take(order[validation_images : validation_images + train_images]),
        validation=digits.take(order[:validation_images]),
    )
