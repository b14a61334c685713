import dataclasses

import numpy as np
import pytest

from tests.support.tiny_training import TINY
from training.data.arrays import NOT_A_DIGIT, LabelledDigits
from training.fit.batches import AddedRows, Batches

CONFIG = dataclasses.replace(TINY, train_images=400)


def test_an_epoch_shows_each_digit_at_most_once_and_added_rows_in_turn(
    digits: LabelledDigits, added: AddedRows
) -> None:
    assert added.synthetic is not None
    assert added.other_handwriting is not None
    rows = np.stack([rows for _, rows in Batches(CONFIG, digits, added).epoch(1)])
    own = CONFIG.batch_size, CONFIG.synthetic_images, CONFIG.other_handwriting_images
    first, second = len(digits), len(digits) + len(added.synthetic)
    of_digits, synthetic, others = rows < first, (rows >= first) & (rows < second), rows >= second
    for part, count in zip((of_digits, synthetic, others), own, strict=True):
        assert (part.sum(axis=1) == count).all()
    assert len(set(rows[of_digits])) == of_digits.sum()
    for part, start, count in (
        (synthetic, first, len(added.synthetic)),
        (others, second, len(added.other_handwriting)),
    ):
        times = np.bincount(rows[part] - start, minlength=count)
        assert len(times) == count
        assert times.max() - times.min() <= 1


def test_own_pictures_join_each_batch_in_turn(digits: LabelledDigits, added: AddedRows) -> None:
    own = digits.take(np.arange(7))
    batches = Batches(CONFIG, digits, dataclasses.replace(added, own=own, own_images=3))
    rows = np.stack([rows for _, rows in batches.epoch(1)])
    assert rows.shape[1] == batches.size == CONFIG.batch_size + 8 + 4 + 3
    first = rows.max() - 6
    assert ((rows >= first).sum(axis=1) == 3).all()
    times = np.bincount(rows[rows >= first] - first)
    assert times.max() - times.min() <= 1
    np.testing.assert_array_equal(batches.labels(np.arange(first, first + 7)), own.labels)


def test_every_part_of_a_batch_has_its_share_of_added_rows(digits: LabelledDigits, added: AddedRows) -> None:
    """Degradations take the first rows: they must not meet digits alone."""
    _, rows = next(Batches(CONFIG, digits, added).epoch(1))
    assert 2 <= np.sum(rows[:11] >= len(digits)) <= 4


def test_added_rows_leave_the_others_as_they_are(digits: LabelledDigits, added: AddedRows) -> None:
    """A run without other handwriting has the batches that it had before there was any."""
    without = dataclasses.replace(CONFIG, other_handwriting_images=0)
    for (_, rows), (_, fewer) in zip(
        Batches(CONFIG, digits, added).epoch(2),
        Batches(without, digits, AddedRows(added.synthetic)).epoch(2),
        strict=True,
    ):
        assert sorted(fewer) == sorted(rows)[: len(fewer)]


def test_steps_are_numbered_over_the_whole_run(digits: LabelledDigits, added: AddedRows) -> None:
    batches = Batches(CONFIG, digits, added)
    steps = [step for epoch in (1, 2) for step, _ in batches.epoch(epoch)]
    assert steps == list(range(2 * CONFIG.steps_per_epoch))


def test_batches_follow_the_data_seed_and_no_other(digits: LabelledDigits, added: AddedRows) -> None:
    def first(**changes: int) -> tuple[list[int], bytes]:
        batches = Batches(dataclasses.replace(CONFIG, **changes), digits, added)  # type: ignore[arg-type]  # all whole
        step, rows = next(batches.epoch(1))
        images = batches.images(batches.pixels(rows), np.asarray(step, np.int32))
        return list(rows), np.asarray(images).tobytes()

    assert first() == first(seed=99, epochs=7)
    assert first() != first(data_seed=99)


def test_labels_go_with_their_rows(digits: LabelledDigits, added: AddedRows) -> None:
    labels = Batches(CONFIG, digits, added).labels(np.array([0, len(digits)]))
    assert labels.tolist() == [digits.labels[0], NOT_A_DIGIT]


def test_added_rows_are_there_exactly_when_the_settings_ask_for_them(digits: LabelledDigits, added: AddedRows) -> None:
    with pytest.raises(RuntimeError, match="synthetic_images = 8 without"):
        Batches(CONFIG, digits, AddedRows())
    with pytest.raises(RuntimeError, match="other_handwriting_images = 4 without"):
        Batches(CONFIG, digits, AddedRows(added.synthetic))
    with pytest.raises(RuntimeError, match="other_handwriting_images = 0 without such rows, or the reverse"):
        Batches(dataclasses.replace(CONFIG, other_handwriting_images=0), digits, added)
