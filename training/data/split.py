"""The rows of MNIST by use: training, validation (both from its 60,000 training rows) and test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.config import FORMER_SETTINGS
from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist
from training.data.writers import load_writers
from training.errors import ConfigError

# Of a training run: what `split_mnist` is called with.
SPLIT_SETTINGS = ("train_images", "validation_images", "split_seed", "split")


@dataclass(frozen=True, slots=True)
class Split:
    """Three disjoint parts: `train` fits the weights, `validation` makes every choice, `test` gives figures only."""

    train: LabelledDigits
    validation: LabelledDigits
    test: LabelledDigits


def split_mnist(mnist: Mnist, train_images: int, validation_images: int, seed: int, by: str) -> Split:
    """A random split that depends on nothing but the seed, `by` and MNIST's training rows.

    The validation rows are drawn first, so that they stay the same however many rows train.

    Args:
        mnist: all of it.
        train_images: rows of the first part.
        validation_images: rows of the second part.
        seed: of the order of rows and writers.
        by: "rows" draws single rows: people who wrote validation rows wrote training rows, too. "writers" draws people:
            all rows of a person are in one part, or in none.

    Raises:
        ConfigError: the two parts need more rows than there are.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(mnist.train))
    if by == "rows":
        first, rest = order[:validation_images], order[validation_images:]
    else:
        writer = load_writers().writer[: len(mnist.train)]
        is_drawn = np.isin(writer[order], _draw_writers(writer, validation_images, generator))
        first, rest = order[is_drawn][:validation_images], order[~is_drawn]
    if validation_images > len(first) or train_images > len(rest):
        raise ConfigError(
            f"train_images = {train_images} and validation_images = {validation_images} together need more than"
            f" the {len(mnist.train)} rows there are"
            + (f", split by {by}: {validation_images} for validation leave {len(rest)}" if by != "rows" else "")
        )
    return Split(train=mnist.train.take(rest[:train_images]), validation=mnist.train.take(first), test=mnist.test)


def recorded_split(mnist: Mnist, training: Mapping[str, Any]) -> Split:
    """MNIST's rows as a training run split them.

    Args:
        mnist: all of it.
        training: metadata.json's record of the run.

    Raises:
        ConfigError: as for `split_mnist`.
    """
    settings = {**FORMER_SETTINGS, **training}
    return split_mnist(mnist, *(settings[name] for name in SPLIT_SETTINGS))


def validation_writers(mnist: Mnist, validation_images: int, seed: int) -> npt.NDArray[np.uint16]:
    """The people whose rows `split_mnist` draws for validation by writers, with the same arguments."""
    generator = np.random.default_rng(seed)
    generator.permutation(len(mnist.train))  # the order of rows, which it draws first
    return _draw_writers(load_writers().writer[: len(mnist.train)], validation_images, generator)


def _draw_writers(writer: npt.NDArray[np.uint16], rows: int, generator: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Random people who wrote `rows` rows together, or as few more as can be.

    Args:
        writer: (n,), who wrote each row.
        rows: to be had from them.
        generator: of the order in which people are drawn.
    """
    people, counts = np.unique(writer, return_counts=True)
    order = generator.permutation(len(people))
    sums = [1]  # bit n of the last: some of the people can be had who wrote n rows; then without the first of them, ...
    for each in order[::-1]:
        sums.append(sums[-1] | sums[-1] << int(counts[each]))
    wanted = sums[-1] >> rows
    missing = rows + (wanted & -wanted).bit_length() - 1 if wanted else len(writer)
    drawn = []
    for each, possible in zip(order, reversed(sums[:-1]), strict=True):
        less = missing - int(counts[each])
        if less >= 0 and possible >> less & 1:
            drawn.append(each)
            missing = less
    return people[drawn]
