"""Our side: a small network that pools before it normalizes, a high rate that falls to zero, averaging."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from experiments.time_to_accuracy.prediction import Reader, as_images, left_as_they_are
from experiments.time_to_accuracy.recipes import Recipe
from training.data.arrays import CLASSES, SIDE, LabelledDigits, Labels, Pixels

_NORMALIZATION_MOMENTUM = 0.9  # of a few hundred steps in all
_BETA_2 = 0.99  # Adam's memory of squared gradients: a hundred steps, not a thousand


class RecipeRun:
    """One run of a recipe, from scratch. Order and distortions follow from the seed."""

    def __init__(
        self, name: str, recipe: Recipe, rows: LabelledDigits, images_between_evaluations: int, seed: int
    ) -> None:
        self.name = name
        self._recipe, self._rows, self._seed = recipe, rows, seed
        self._steps_per_epoch = len(rows) // recipe.batch_size
        self._steps = max(1, round(recipe.epochs * self._steps_per_epoch))
        self._steps_between_evaluations = max(1, images_between_evaluations // recipe.batch_size)

    def prepare(self) -> None:
        """Rows as a tensor, padded for shifts; two networks; one step compiled."""
        keras.utils.set_random_seed(self._seed)
        recipe, margin = self._recipe, self._recipe.shift_pixels
        images = np.pad(self._rows.pixels.reshape(-1, SIDE, SIDE), ((0, 0), (margin, margin), (margin, margin)))
        self._padded = tf.constant(images.reshape(len(images), -1))
        self._labels = tf.constant(self._rows.labels)
        self._network, self._average = race_network(recipe), race_network(recipe)
        self._average.set_weights(self._network.get_weights())
        self._optimizer = keras.optimizers.AdamW(
            _learning_rate(recipe, self._steps), weight_decay=recipe.weight_decay, beta_2=_BETA_2
        )
        self._optimizer.build(self._network.trainable_variables)
        self._reader = Reader(self._average)
        self._run_step = tf.function(self._step)
        with left_as_they_are([*self._network.variables, *self._average.variables, *self._optimizer.variables]):
            self._run_step(tf.zeros([recipe.batch_size], tf.int64), tf.constant(0))

    def train(self) -> Iterator[int]:
        """The schedule; images seen after every so many steps and after the last."""
        size = self._recipe.batch_size
        for step in range(self._steps):
            epoch, number = divmod(step, self._steps_per_epoch)
            if number == 0:
                order = np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))
            self._run_step(tf.constant(order[number * size : (number + 1) * size]), tf.constant(step))
            if (step + 1) % self._steps_between_evaluations == 0 or step + 1 == self._steps:
                yield (step + 1) * size

    def read(self, pixels: Pixels) -> Labels:
        """The average weights' likeliest digits."""
        return self._reader.read(pixels)

    def _step(self, rows: tf.Tensor, step: tf.Tensor) -> None:
        images, labels = self._distorted(rows, step), tf.gather(self._labels, rows)
        smoothing = self._recipe.label_smoothing
        targets = tf.one_hot(labels, CLASSES) * (1 - smoothing) + smoothing / CLASSES
        with tf.GradientTape() as tape:
            logits = self._network(images, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        variables = self._network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        self._follow(tf.cast(step, tf.float32))

    def _distorted(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """(n, 28, 28, 1) float32: the rows, each cut from its padded image at a place of its own, then augmented."""
        margin, seed = self._recipe.shift_pixels, tf.stack([self._seed, step])
        width = SIDE + 2 * margin
        corner = tf.random.stateless_uniform([2, len(rows), 1], seed, maxval=2 * margin + 1, dtype=tf.int32)
        window = np.add.outer(np.arange(SIDE) * width, np.arange(SIDE)).reshape(1, -1).astype(np.int32)
        places = corner[0] * width + corner[1] + window
        images = as_images(tf.gather(tf.gather(self._padded, rows), places, batch_dims=1))
        augment = self._recipe.augmentation
        return images if augment is None else augment(images[..., 0], seed)[..., tf.newaxis]

    def _follow(self, step: tf.Tensor) -> None:
        """Move the average towards the network; faster in the first steps, when there is little to average."""
        keep = tf.minimum(self._recipe.averaging, (1 + step) / (10 + step))
        for average, value in zip(self._average.weights, self._network.weights, strict=True):
            average.assign(value + keep * (average - value))


def race_network(recipe: Recipe) -> keras.Model:
    """(n, 28, 28, 1) float32 in 0..1 to (n, 10) logits.

    A convolution is pooled before it is normalized: a quarter of the values to normalize, and the same output as the
    other way round, since a normalization without a scale rises with its input.
    """
    x = image = keras.Input((SIDE, SIDE, 1))
    for number, filters in enumerate(recipe.filters):
        size, padding = (5, "valid") if number == 0 else (3, "same")
        x = keras.layers.Conv2D(filters, size, padding=padding, use_bias=False)(x)
        x = _normalized_relu(keras.layers.MaxPooling2D(2)(x))
    x = keras.layers.Flatten()(x)
    x = _normalized_relu(keras.layers.Dense(recipe.dense_units, use_bias=False)(x))
    if recipe.dropout:
        x = keras.layers.Dropout(recipe.dropout)(x)
    return keras.Model(image, keras.layers.Dense(CLASSES)(x))


def _normalized_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=_NORMALIZATION_MOMENTUM, scale=False)(x))


def _learning_rate(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup_steps = min(round(recipe.warmup * steps), steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 10 if warmup_steps else recipe.learning_rate,
        decay_steps=steps - warmup_steps,
        warmup_target=recipe.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
