"""The training loop: epochs of steps, each a pure function of the state, the seed and the number of the step.

1. Order, distortions and dropout of a step are drawn from (seed, step); nothing random is carried along.
2. An epoch ends with a judgement on the validation rows and a checkpoint; what was computed since the last
   checkpoint may be lost at any moment and is computed again, to the same bits, on resuming.
3. The last epoch's average weights are the result. No epoch is picked by its validation figures.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.arrays import CLASSES, SIDE
from training.augmentation import Augmentation
from training.config import TrainingConfig
from training.epoch_record import EpochRecord
from training.split import Split
from training.training_state import TrainingState


class Progress(Protocol):
    """Who is told how far training is."""

    def step_done(self, step: int, loss: float) -> None:
        """After each step; `step` counts from 1 over the whole run."""
        ...

    def epoch_done(self, record: EpochRecord) -> None:
        """After each epoch, once its checkpoint is on disk."""
        ...


class Trainer:
    """Trains a state on a split, as the configuration says."""

    def __init__(self, config: TrainingConfig, split: Split, state: TrainingState) -> None:
        self._config = config
        self._state = state
        self._pixels = tf.constant(split.train.pixels)
        self._labels = tf.constant(split.train.labels)
        self._validation = split.validation
        self._augment = Augmentation.from_config(config)
        self._dropout_states = [each.state for each in _seed_generators(state.network)]
        self._run_step = tf.function(self._step)  # compiled for this trainer alone, and gone with it

    def train(
        self,
        history: list[EpochRecord],
        progress: Progress,
        save: Callable[[list[EpochRecord]], None],
    ) -> list[EpochRecord]:
        """Run the epochs that `history` lacks, each followed by `save` with the history so far."""
        for epoch in range(len(history) + 1, self._config.epochs + 1):
            started = time.monotonic()
            loss, accuracy = self._epoch(epoch, progress)
            validation_loss, validation_accuracy = self._judge()
            record = EpochRecord(
                epoch=epoch,
                loss=loss,
                accuracy=accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                learning_rate=float(self._state.optimizer.learning_rate),
                seconds=time.monotonic() - started,
            )
            history = [*history, record]
            save(history)
            progress.epoch_done(record)
        return history

    def _epoch(self, epoch: int, progress: Progress) -> tuple[float, float]:
        """Mean loss and accuracy on the distorted training images, as the steps went by."""
        steps, size = self._config.steps_per_epoch, self._config.batch_size
        order = np.random.default_rng([self._config.seed, epoch]).permutation(len(self._labels))
        losses, hits = [], 0
        for number, rows in enumerate(order[: steps * size].reshape(steps, size)):
            step = (epoch - 1) * steps + number
            loss, right = self._run_step(tf.constant(rows), tf.constant(step, tf.int32))
            losses.append(float(loss))
            hits += int(right)
            progress.step_done(step + 1, losses[-1])
        return float(np.mean(losses)), hits / (steps * size)

    def _step(self, rows: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One batch: loss and number of right answers, after the weights have been moved."""
        labels = tf.gather(self._labels, rows)
        images = self._augment(_as_images(tf.gather(self._pixels, rows)), tf.stack([self._config.seed, step]))
        for dropout in self._dropout_states:
            dropout.assign(tf.cast(tf.stack([self._config.seed, step]), tf.uint32))
        network = self._state.network
        with tf.GradientTape() as tape:
            logits = network(images[..., tf.newaxis], training=True)
            loss = self._loss(labels, logits)
        gradients = tape.gradient(loss, network.trainable_variables)
        self._state.optimizer.apply(gradients, network.trainable_variables)
        self._follow(tf.cast(step, tf.float32))
        return loss, tf.reduce_sum(tf.cast(tf.argmax(logits, axis=1) == labels, tf.int32))

    def _loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        smoothing = self._config.label_smoothing
        targets = tf.one_hot(
            labels, CLASSES, on_value=1 - smoothing + smoothing / CLASSES, off_value=smoothing / CLASSES
        )
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))

    def _follow(self, step: tf.Tensor) -> None:
        """Move the average towards the network; faster in the first steps, when there is little to average."""
        keep = tf.minimum(self._config.averaging, (1 + step) / (10 + step))
        for average, value in zip(self._state.average.weights, self._state.network.weights, strict=True):
            average.assign(value + keep * (average - value))

    def _judge(self) -> tuple[float, float]:
        """Loss and accuracy of the average weights on the validation rows."""
        logits = network_logits(self._state.average, self._validation.pixels)
        log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        labels = self._validation.labels
        loss = -np.mean(log_probabilities[np.arange(len(labels)), labels])
        return float(loss), float(np.mean(np.argmax(logits, axis=1) == labels))


def _seed_generators(network: Any) -> list[Any]:
    """What Keras draws dropout from: it counts its calls, unless it is set before each of them."""
    return [layer.seed_generator for layer in network.layers if layer.name == "dropout"]


def network_logits(network: Any, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the network says to `pixels` (n, 784) uint8: logits (n, 10) float32."""
    answer = tf.function(lambda batch: network(_as_images(batch)[..., tf.newaxis], training=False))
    batches = [answer(tf.constant(pixels[start : start + 500])) for start in range(0, len(pixels), 500)]
    return np.concatenate([np.asarray(batch) for batch in batches])


def _as_images(pixels: tf.Tensor) -> tf.Tensor:
    """(n, 784) uint8 to (n, 28, 28) float32 in 0..1."""
    return tf.reshape(tf.cast(pixels, tf.float32) / 255.0, [-1, SIDE, SIDE])
