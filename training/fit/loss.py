"""Losses: cross-entropy with the digits' labels, and with whether an image is a digit at all.

Each column is compared by itself with the label and, in the loss of the digits, with the teacher's output.
"""

import numpy as np
from keras import ops

from training.backend import Tensor
from training.config import TrainingConfig
from training.data.arrays import CLASSES


def digits_loss(config: TrainingConfig, labels: Tensor, outputs: Tensor, taught: Tensor | None) -> Tensor:
    """Mean cross-entropy of the rows that are digits, in nats.

    Args:
        config: label smoothing, and how much the teacher counts.
        labels: (n,) int64, negative where the image is no digit.
        outputs: (n, columns, 11) float32 logits.
        taught: (n, 11) logits of the teacher, or None (Hinton et al. 2015, arXiv 1503.02531: both sides are divided
            by a temperature, and the loss multiplied by its square, which keeps its gradients of one size).
    """
    smoothing = config.label_smoothing
    is_class = ops.expand_dims(labels, 1) == np.arange(CLASSES)
    targets = ops.where(is_class, 1 - smoothing + smoothing / CLASSES, smoothing / CLASSES)
    logits = outputs[..., :CLASSES]
    loss = _cross_entropy(targets, logits)
    if taught is not None:
        heat, weight = config.teacher_temperature, config.teacher_weight
        softened = ops.softmax(ops.cast(taught, "float32")[:, :CLASSES] / heat)
        loss = (1 - weight) * loss + weight * heat**2 * _cross_entropy(softened, logits / heat)
    is_digit = ops.cast(labels >= 0, "float32")
    return ops.sum(loss * is_digit) / ops.maximum(ops.sum(is_digit), 1.0)


def novelty_loss(labels: Tensor, outputs: Tensor) -> Tensor:
    """Mean binary cross-entropy of being no digit, over all rows, in nats. Arguments as for `digits_loss`.

    No teacher: here the labels are certain, and a student may well surpass it.
    """
    targets = ops.cast(labels < 0, "float32")
    logits = outputs[..., CLASSES]
    spread = ops.broadcast_to(targets[:, np.newaxis], ops.shape(logits))
    return ops.mean(ops.binary_crossentropy(spread, logits, from_logits=True))


def _cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy (n,) of logits (n, columns, 10) with targets (n, 10), the mean over the columns."""
    spread = ops.broadcast_to(targets[:, np.newaxis], ops.shape(logits))
    return ops.mean(ops.categorical_crossentropy(spread, logits, from_logits=True), axis=1)
