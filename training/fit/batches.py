"""Batches of MNIST's rows and synthetic rows; seeds decide their order and distortions."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.augmentation.degradation import degrade
from training.augmentation.distortion import Augmentation
from training.config import TrainingConfig
from training.data.arrays import LabelledDigits
from training.network.outputs import as_images

Rows = npt.NDArray[np.int64]


class Batches:
    """Every batch is a function of the data, `data_seed` and the step: a teacher and its students meet the same.

    `synthetic` rows are labelled as digits are, or NOT_A_DIGIT.
    """

    def __init__(self, config: TrainingConfig, digits: LabelledDigits, synthetic: LabelledDigits | None) -> None:
        if bool(config.synthetic_images) != (synthetic is not None):
            raise RuntimeError(f"synthetic_images = {config.synthetic_images} without such rows, or the reverse: a bug")
        self._config = config
        self._digits = len(digits)
        self._synthetic = len(synthetic) if synthetic else 0
        parts = [digits, synthetic] if synthetic else [digits]
        self._pixels = tf.constant(np.concatenate([part.pixels for part in parts]))
        self._labels = tf.constant(np.concatenate([part.labels for part in parts]))
        self._augment = Augmentation.from_config(config)

    @property
    def size(self) -> int:
        """Images in a batch, the synthetic ones among them."""
        return self._config.batch_size + self._config.synthetic_images

    def epoch(self, epoch: int) -> Iterator[tuple[int, Rows]]:
        """The steps of an epoch (counted from 1): the number of the step over the whole run, and its rows (size,)."""
        config = self._config
        generator = np.random.default_rng([config.data_seed, epoch])
        steps = config.steps_per_epoch
        order = generator.permutation(self._digits)[: steps * config.batch_size].reshape(steps, -1)
        added = self._digits + self._synthetic_order(generator, steps)
        mix = np.argsort(np.concatenate([(np.arange(each.shape[1]) + 0.5) / each.shape[1] for each in (order, added)]))
        for number, rows in enumerate(np.concatenate([order, added], axis=1)[:, mix]):
            yield (epoch - 1) * steps + number, rows

    def labels(self, rows: tf.Tensor) -> tf.Tensor:
        """(n,) int64: 0..9, or NOT_A_DIGIT."""
        return tf.gather(self._labels, rows)

    def images(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The rows (size,) as step `step` () int32 sees them: (size, 28, 28) float32 in 0..1, distorted."""
        seed = tf.stack([tf.constant(self._config.data_seed), step])
        images = as_images(tf.gather(self._pixels, tf.ensure_shape(rows, [self.size])))
        return degrade(self._augment(images, seed), self._config.degraded, seed)

    def _synthetic_order(self, generator: np.random.Generator, steps: int) -> Rows:
        """(steps, synthetic images of a step): each row once before any comes again."""
        wanted = steps * self._config.synthetic_images
        rounds = -(-wanted // max(self._synthetic, 1))
        order = [generator.permutation(self._synthetic) for _ in range(rounds)]
        return np.concatenate([np.empty(0, np.int64), *order])[:wanted].reshape(steps, -1)
