"""Losses: cross-entropy with the digits' labels, and with whether an image is a digit at all.

Each column is compared by itself with the label and, in the loss of the digits, with the teacher's output.
"""

import tensorflow as tf

from training.config import TrainingConfig
from training.data.arrays import CLASSES


def digits_loss(config: TrainingConfig, labels: tf.Tensor, outputs: tf.Tensor, taught: tf.Tensor | None) -> tf.Tensor:
    """Mean cross-entropy of the rows that are digits, in nats.

    Args:
        config: label smoothing, and how much the teacher counts.
        labels: (n,) int64, negative where the image is no digit.
        outputs: (n, columns, 11) float32 logits.
        taught: (n, 11) logits of the teacher, or None (Hinton et al. 2015, arXiv 1503.02531: both sides are divided
            by a temperature, and the loss multiplied by its square, which keeps its gradients of one size).
    """
    smoothing = config.label_smoothing
    targets = tf.one_hot(labels, CLASSES, on_value=1 - smoothing + smoothing / CLASSES, off_value=smoothing / CLASSES)
    logits = outputs[..., :CLASSES]
    loss = _cross_entropy(targets, logits)
    if taught is not None:
        heat, weight = config.teacher_temperature, config.teacher_weight
        softened = tf.nn.softmax(tf.cast(taught, tf.float32)[:, :CLASSES] / heat)
        loss = (1 - weight) * loss + weight * heat**2 * _cross_entropy(softened, logits / heat)
    is_digit = tf.cast(labels >= 0, tf.float32)
    return tf.reduce_sum(loss * is_digit) / tf.maximum(tf.reduce_sum(is_digit), 1.0)


def novelty_loss(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Mean binary cross-entropy of being no digit, over all rows, in nats. Arguments as for `digits_loss`.

    No teacher: here the labels are certain, and a student may well surpass it.
    """
    targets = tf.cast(labels < 0, tf.float32)
    logits = outputs[..., CLASSES]
    spread = tf.broadcast_to(targets[:, tf.newaxis], tf.shape(logits))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(spread, logits))


def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy (n,) of logits (n, columns, 10) with targets (n, 10), the mean over the columns."""
    spread = tf.broadcast_to(targets[:, tf.newaxis], tf.shape(logits))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(spread, logits), axis=1)
