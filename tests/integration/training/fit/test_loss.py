import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from training.config import TrainingConfig
from training.data.arrays import CLASSES, NOT_A_DIGIT
from training.fit.loss import digits_loss, novelty_loss

PLAIN = TrainingConfig()
TAUGHT = dataclasses.replace(PLAIN, teacher_weight=1.0, teacher_temperature=2.0)
LABELS = np.array([3, NOT_A_DIGIT, 7])  # no tensor: TensorFlow may not start before its threads are set


def _answers(seed: int = 0, columns: int = 2) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0, 2, (3, columns, CLASSES + 1)).astype(np.float32))


def test_the_digits_loss_is_the_surprise_at_the_labels_of_digits_only() -> None:
    answers = _answers()
    logits = answers.numpy()[:, :, :CLASSES]
    surprise = np.log(np.exp(logits).sum(axis=2)) - np.stack([logits[0, :, 3], logits[1, :, 0], logits[2, :, 7]])
    expected = surprise[[0, 2]].mean()
    assert float(digits_loss(PLAIN, LABELS, answers, None)) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_digits_has_no_digits_loss() -> None:
    nothing = tf.constant([NOT_A_DIGIT] * 3, tf.int64)
    assert float(digits_loss(PLAIN, nothing, _answers(), None)) == 0


def test_the_novelty_loss_falls_when_the_right_rows_are_called_novel() -> None:
    answers = np.zeros((3, 1, CLASSES + 1), np.float32)
    undecided = float(novelty_loss(LABELS, tf.constant(answers)))
    answers[:, 0, CLASSES] = [-4, 4, -4]
    assert undecided == pytest.approx(np.log(2), rel=1e-5)
    assert float(novelty_loss(LABELS, tf.constant(answers))) < 0.05


def test_a_student_equal_to_its_teacher_has_nothing_to_learn() -> None:
    taught = _answers(columns=1)[:, 0]
    student = tf.Variable(taught[:, tf.newaxis])
    with tf.GradientTape() as tape:
        loss = digits_loss(TAUGHT, LABELS, student, taught)
    np.testing.assert_allclose(tape.gradient(loss, student), 0, atol=1e-6)


def test_a_teacher_moves_the_student_towards_its_own_output() -> None:
    taught = tf.constant(np.eye(CLASSES + 1, dtype=np.float32)[[5, 5, 5]] * 8)
    student = tf.Variable(tf.zeros((3, 1, CLASSES + 1)))
    with tf.GradientTape() as tape:
        loss = digits_loss(TAUGHT, LABELS, student, taught)
    gradient = tape.gradient(loss, student).numpy()
    assert np.argmin(gradient[0, 0, :CLASSES]) == 5  # towards the teacher's answer, not the label's
