"""Batches of MNIST's rows and of rows that join them; seeds decide their order and distortions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from keras import ops

from training.augmentation.degradation import degrade
from training.augmentation.distortion import Augmentation
from training.backend import Tensor
from training.config import TrainingConfig
from training.data.arrays import LabelledDigits, Labels, Pixels
from training.network.outputs import as_images

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AddedRows:
    """Rows that join MNIST's in each batch, labelled as digits are, or NOT_A_DIGIT.

    Attributes:
        synthetic: None exactly when `synthetic_images` is 0.
        other_handwriting: None exactly when `other_handwriting_images` is 0.
        own: what a user wrote, when a version is adapted to it.
        own_images: of those in each batch.
    """

    synthetic: LabelledDigits | None = None
    other_handwriting: LabelledDigits | None = None
    own: LabelledDigits | None = None
    own_images: int = 0


class Batches:
    """Every batch is a function of the data, `data_seed` and the step: a teacher and its students meet the same."""

    def __init__(self, config: TrainingConfig, digits: LabelledDigits, added: AddedRows) -> None:
        wanted = (
            ("synthetic_images", config.synthetic_images, added.synthetic),
            ("other_handwriting_images", config.other_handwriting_images, added.other_handwriting),
            ("own_images", added.own_images, added.own),
        )
        for name, count, rows in wanted:
            if bool(count) != (rows is not None):
                raise RuntimeError(f"{name} = {count} without such rows, or the reverse: this is a bug")
        parts = [(count, rows) for _, count, rows in wanted if rows is not None]
        self._config = config
        self._digits = len(digits)
        self._added = [(count, len(rows)) for count, rows in parts]  # images of a step, and rows that there are
        self._pixels = np.concatenate([digits.pixels, *(rows.pixels for _, rows in parts)])
        self._labels = np.concatenate([digits.labels, *(rows.labels for _, rows in parts)])
        self._augment = Augmentation.from_config(config)

    @property
    def size(self) -> int:
        """Images in a batch, the added ones among them."""
        return self._config.batch_size + sum(count for count, _ in self._added)

    def epoch(self, epoch: int) -> Iterator[tuple[int, Rows]]:
        """The steps of an epoch (counted from 1): the number of the step over the whole run, and its rows (size,)."""
        config = self._config
        generator = np.random.default_rng([config.data_seed, epoch])
        steps = config.steps_per_epoch
        parts = [generator.permutation(self._digits)[: steps * config.batch_size].reshape(steps, -1)]
        first = self._digits
        for count, rows in self._added:
            parts.append(first + _in_turn(rows, steps * count, generator).reshape(steps, -1))
            first += rows
        mix = np.argsort(np.concatenate([(np.arange(each.shape[1]) + 0.5) / each.shape[1] for each in parts]))
        for number, rows_of_step in enumerate(np.concatenate(parts, axis=1)[:, mix]):
            yield (epoch - 1) * steps + number, rows_of_step

    def labels(self, rows: Rows) -> Labels:
        """(n,) int64: 0..9, or NOT_A_DIGIT."""
        return self._labels[rows]

    def pixels(self, rows: Rows) -> Pixels:
        """(n, 784) uint8, as they are."""
        return self._pixels[rows]

    def images(self, pixels: Tensor, step: Tensor) -> Tensor:
        """Pixels (size, 784) uint8 as step `step` () int32 sees them: (size, 28, 28) float32 in 0..1, distorted."""
        seed = ops.stack([ops.convert_to_tensor(self._config.data_seed, "int32"), step])
        images = as_images(pixels)
        return degrade(self._augment(images, seed), self._config.degraded, seed)


def _in_turn(rows: int, wanted: int, generator: np.random.Generator) -> Rows:
    """So many of the row numbers 0 to `rows`, each once before any comes again."""
    rounds = -(-wanted // rows)
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:wanted]
