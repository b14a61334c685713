import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.support.tiny_training import TINY
from training.data.arrays import NOT_A_DIGIT, LabelledDigits
from training.fit.batches import Batches

CONFIG = dataclasses.replace(TINY, train_images=400)


def test_an_epoch_shows_each_digit_at_most_once_and_synthetic_rows_in_turn(
    digits: LabelledDigits, synthetic: LabelledDigits
) -> None:
    rows = np.stack([rows for _, rows in Batches(CONFIG, digits, synthetic).epoch(1)])
    assert rows.shape == (CONFIG.steps_per_epoch, CONFIG.batch_size + CONFIG.synthetic_images)
    of_digits, added = rows[rows < len(digits)], rows[rows >= len(digits)] - len(digits)
    assert len(set(of_digits)) == len(of_digits)
    times = np.bincount(added, minlength=len(synthetic))
    assert times.max() - times.min() <= 1


def test_every_part_of_a_batch_has_its_share_of_synthetic_rows(
    digits: LabelledDigits, synthetic: LabelledDigits
) -> None:
    """Degradations take the first rows: they must not meet digits alone."""
    _, rows = next(Batches(CONFIG, digits, synthetic).epoch(1))
    assert 1 <= np.sum(rows[:10] >= len(digits)) <= 3


def test_steps_are_numbered_over_the_whole_run(digits: LabelledDigits, synthetic: LabelledDigits) -> None:
    batches = Batches(CONFIG, digits, synthetic)
    steps = [step for epoch in (1, 2) for step, _ in batches.epoch(epoch)]
    assert steps == list(range(2 * CONFIG.steps_per_epoch))


def test_batches_follow_the_data_seed_and_no_other(digits: LabelledDigits, synthetic: LabelledDigits) -> None:
    def first(**changes: int) -> tuple[list[int], bytes]:
        batches = Batches(dataclasses.replace(CONFIG, **changes), digits, synthetic)  # type: ignore[arg-type]  # all whole
        step, rows = next(batches.epoch(1))
        images = batches.images(tf.constant(rows), tf.constant(step, tf.int32))
        return list(rows), np.asarray(images).tobytes()

    assert first() == first(seed=99, epochs=7)
    assert first() != first(data_seed=99)


def test_labels_go_with_their_rows(digits: LabelledDigits, synthetic: LabelledDigits) -> None:
    labels = Batches(CONFIG, digits, synthetic).labels(tf.constant([0, len(digits)]))
    assert labels.numpy().tolist() == [digits.labels[0], NOT_A_DIGIT]


def test_synthetic_rows_are_there_exactly_when_the_settings_ask_for_them(digits: LabelledDigits) -> None:
    with pytest.raises(RuntimeError, match="synthetic_images = 8 without"):
        Batches(CONFIG, digits, None)
