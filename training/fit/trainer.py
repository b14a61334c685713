"""The training loop: epochs of steps, each a pure function of the state, the seed and the number of the step.

1. Order, distortions and dropout of a step are drawn from (seed, step); nothing random is carried along.
2. An epoch ends with an evaluation on the validation rows and a checkpoint; what was computed since the last
   checkpoint may be lost at any moment and is computed again, to the same bits, on resuming.
3. The last epoch's average weights are the result. No epoch is picked by its validation figures.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from keras import ops

from training.backend import Tensor, compiled, gradients
from training.config import TrainingConfig
from training.data.split import Split
from training.fit.batches import AddedRows, Batches
from training.fit.checkpoint import EpochRecord
from training.fit.loss import digits_loss, novelty_loss
from training.fit.teacher import Teacher
from training.fit.training_state import TrainingState
from training.network.outputs import compiled_outputs, mean_of_columns


class Progress(Protocol):
    """Receives the progress of training."""

    def step_done(self, step: int, loss: float) -> None:
        """After each step; `step` counts from 1 over the whole run."""
        ...

    def epoch_done(self, record: EpochRecord) -> None:
        """After each epoch, once its checkpoint is on disk."""
        ...


class Trainer:
    """Trains a state on a split and the rows that join it, as the configuration says."""

    def __init__(
        self,
        config: TrainingConfig,
        split: Split,
        state: TrainingState,
        added: AddedRows,
        teacher: Teacher | None = None,
    ) -> None:
        self._config = config
        self._state = state
        self._batches = Batches(config, split.train, added)
        self._teacher = teacher
        self._validation = split.validation
        self._average_outputs = compiled_outputs(state.average)
        self._dropout_states = [each.state for each in _seed_generators(state.network)]
        network, average, optimizer = state.network, state.average, state.optimizer
        self._run_step = compiled(self._step, [*network.variables, *average.variables, *optimizer.variables])

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
            validation_loss, validation_accuracy = self._evaluate()
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
        losses, hits, digits = [], 0, 0
        taught_outputs = self._teacher.outputs(self._config, self._batches, epoch) if self._teacher else None
        for number, (step, rows) in enumerate(self._batches.epoch(epoch)):
            taught = None if taught_outputs is None else taught_outputs[number]
            pixels, labels = self._batches.pixels(rows), self._batches.labels(rows)
            loss, right, of_digits = self._run_step(pixels, labels, np.asarray(step, np.int32), taught)
            losses.append(float(loss))
            hits, digits = hits + int(right), digits + int(of_digits)
            progress.step_done(step + 1, losses[-1])
        return float(np.mean(losses)), hits / digits

    def _step(
        self, pixels: Tensor, labels: Tensor, step: Tensor, taught: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One batch: loss, digits read rightly and digits in all, after the weights have moved."""
        config, network = self._config, self._state.network
        images = self._batches.images(pixels, step)
        for dropout in self._dropout_states:
            dropout.assign(ops.cast(ops.stack([config.seed, step]), "uint32"))

        def loss_and_outputs() -> tuple[Tensor, Tensor]:
            outputs = network(images[..., np.newaxis], training=True)
            loss = digits_loss(config, labels, outputs, taught)
            return loss + config.novelty_weight * novelty_loss(labels, outputs), outputs

        loss, outputs, slopes = gradients(loss_and_outputs, network)
        self._state.optimizer.apply(slopes, network.trainable_variables)
        self._follow(ops.cast(step, "float32"))
        right = ops.argmax(mean_of_columns(outputs)[:, :-1], axis=1) == ops.cast(labels, "int32")
        return loss, ops.sum(ops.cast(right, "int32")), ops.sum(ops.cast(labels >= 0, "int32"))

    def _follow(self, step: Tensor) -> None:
        """Move the average towards the network; faster in the first steps, when there is little to average."""
        keep = ops.minimum(self._config.averaging, (1 + step) / (10 + step))
        for average, value in zip(self._state.average.weights, self._state.network.weights, strict=True):
            average.assign(value + keep * (average - value))

    def _evaluate(self) -> tuple[float, float]:
        """Loss and accuracy of the average weights on the validation rows."""
        logits = self._average_outputs(self._validation.pixels).logits
        log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        labels = self._validation.labels
        loss = -np.mean(log_probabilities[np.arange(len(labels)), labels])
        return float(loss), float(np.mean(np.argmax(logits, axis=1) == labels))


def _seed_generators(network: Any) -> list[Any]:
    """Keras' generators for dropout; each counts its calls, unless it is set before every one."""
    return [layer.seed_generator for layer in network.layers if layer.name.endswith("_dropout")]
