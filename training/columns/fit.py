"""Fits the column network: cross-entropy of each frame, and connectionist temporal classification of the whole strip.

Order and distortions of an epoch come from the seed and its number, so that a run that is resumed sees what it would
have seen.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from training.backend import make_deterministic
from training.columns.batches import Batches, Ink, Targets, targets
from training.columns.network import build_network, network_weights
from training.columns.pictures import MOST_DIGITS
from training.columns.strips import BLANK, HEIGHT, StripSet
from training.config import ColumnsConfig
from training.errors import RunError
from training.fit.run_folder import RunFolder

_BATCH = 200  # validation strips that are read at once
_HIGHEST_LEARNING_RATE, _WARMUP_STEPS = 0.003, 200
_WEIGHT_DECAY, _LARGEST_GRADIENT = 0.02, 5.0
_AVERAGING = 0.998  # how much of the average weights each step keeps
_CTC_WEIGHT = 0.5


def fit(folder: RunFolder, config: ColumnsConfig, train: StripSet, validation: StripSet, console: Console) -> None:
    """Train until the run is finished, and write its weights, the average over the last steps.

    KeyboardInterrupt comes through; the state after the last whole epoch is in the folder then, and is gone on from.

    Raises:
        RunError: that state is damaged.
    """
    make_deterministic(config.threads)
    keras.utils.set_random_seed(config.seed)
    batches = Batches(train, config.seed)
    network = build_network("bfloat16")
    network.compile(_optimizer(config.epochs * batches.steps), loss=loss, jit_compile=False)
    epoch = _Epoch(config, batches.steps, console)
    backup = folder.path / "backup"
    try:
        network.fit(
            _dataset(batches, epoch),
            validation_data=(validation.pixels[..., np.newaxis], targets(validation)),
            validation_batch_size=_BATCH,
            epochs=config.epochs,
            shuffle=False,  # the batches are shuffled already
            callbacks=[
                # Before the state is saved: it evaluates the average weights and puts the others back.
                keras.callbacks.SwapEMAWeights(),
                keras.callbacks.BackupAndRestore(backup, double_checkpoint=True, delete_checkpoint=False),
                epoch,
            ],
            verbose=0,
        )
    except (OSError, json.JSONDecodeError) as error:
        if getattr(error, "errno", None) is not None:  # of the system, such as a full disk; HDF5's own have none
            raise
        raise RunError(f"{backup} is damaged ({error}). Begin the run again with --restart") from error
    folder.write_weights(network_weights(network))


def loss(truth: Any, outputs: Any) -> Any:
    """Mean cross-entropy of the frames, in nats, and a half of the mean negative log-likelihood of the strips' digits.

    Args:
        truth: (n, 5 + frames), as `targets` makes it.
        outputs: (n, frames, 11) logits.
    """
    truth = keras.ops.cast(truth, "int32")
    digits, frames = truth[:, :MOST_DIGITS], truth[:, MOST_DIGITS:]
    is_asked = keras.ops.cast(frames >= 0, "float32")
    each = keras.ops.sparse_categorical_crossentropy(keras.ops.maximum(frames, 0), outputs, from_logits=True)
    frames_loss = keras.ops.sum(each * is_asked) / keras.ops.sum(is_asked)
    counts = keras.ops.sum(keras.ops.cast(digits >= 0, "int32"), axis=1)
    all_frames = keras.ops.zeros_like(counts) + keras.ops.shape(outputs)[1]
    strips_loss = keras.ops.ctc_loss(keras.ops.maximum(digits, 0), outputs, counts, all_frames, mask_index=BLANK)
    return frames_loss + _CTC_WEIGHT * keras.ops.mean(strips_loss)


class _LearningRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """Rises over the first steps, and falls all along in a line to zero at the last."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, step: Any) -> Any:
        done = keras.ops.cast(step, "float32")
        warm = keras.ops.minimum(done / _WARMUP_STEPS, 1.0)
        return _HIGHEST_LEARNING_RATE * warm * keras.ops.maximum(1.0 - done / self._steps, 0.0)

    def get_config(self) -> dict[str, int]:
        """The arguments, which Keras asks of every schedule."""
        return {"steps": self._steps}


class _Epoch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Knows the number of the epoch, also in a run that is gone on with, and prints a line after each.

    It sets what dropout is drawn from, which is not in the state that is saved.
    """

    def __init__(self, config: ColumnsConfig, steps: int, console: Console) -> None:
        super().__init__()
        self.number = 0
        self._config = config
        self._steps = steps
        self._console = console
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002  # Keras' name
        self.number = epoch
        dropout = self.model.get_layer("dropout").seed_generator
        dropout.state.assign(np.array([self._config.seed, epoch * self._steps], np.uint32))
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        losses = logs or {}
        line = (
            f"epoch {epoch + 1:>3}/{self._config.epochs}  loss {losses['loss']:.4f}"
            f"  validation: loss {losses['val_loss']:.4f}  {time.monotonic() - self._started:.1f} s"
        )
        self._console.print(line, highlight=False, soft_wrap=True)


def _optimizer(steps: int) -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(
        _LearningRate(steps),
        weight_decay=_WEIGHT_DECAY,
        global_clipnorm=_LARGEST_GRADIENT,
        use_ema=True,
        ema_momentum=_AVERAGING,
    )


def _dataset(batches: Batches, epoch: _Epoch) -> tf.data.Dataset:
    """The batches of the epoch that has begun, each time it is gone through, made while the one before is learned."""

    def drawn() -> Iterator[tuple[Ink, Targets]]:
        return batches.epoch(epoch.number)

    signature = (
        tf.TensorSpec((None, HEIGHT, None, 1), tf.uint8),
        tf.TensorSpec((None, None), tf.int32),
    )
    dataset = tf.data.Dataset.from_generator(drawn, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches.steps)).prefetch(2)
