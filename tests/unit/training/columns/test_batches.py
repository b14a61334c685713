"""Batches of strips: their widths, distortions and targets."""

import itertools

import numpy as np
import pytest

from training.columns.batches import IGNORED, Batches, targets
from training.columns.strips import BLANK, FRAME, HEIGHT, NO_DIGIT, WIDEST, StripSet

DIGITS = 5


def bars(count: int, seed: int = 0) -> StripSet:
    """Strips with upright bars in place of digits, one to five of them, ten columns wide and apart."""
    generator = np.random.default_rng(seed)
    labels = np.full((count, DIGITS), NO_DIGIT, np.int64)
    centres, widths = np.zeros((2, count, DIGITS), np.float32)
    pixels = np.zeros((count, HEIGHT, WIDEST), np.uint8)
    counts = generator.integers(1, DIGITS + 1, count)
    for row, digits in enumerate(counts):
        labels[row, :digits] = generator.integers(0, 10, digits)
        for place in range(digits):
            left = 2 + 20 * place
            pixels[row, 2:-2, left : left + 10] = 255
            centres[row, place], widths[row, place] = left + 5, 10
    return StripSet(pixels, counts * 20, labels, centres, widths)


def collapsed(frames: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> list[int]:
    return [key for key, _ in itertools.groupby(frames[frames != IGNORED].tolist()) if key != BLANK]


def test_frames_show_the_digits_in_order_with_blanks_between_them() -> None:
    strips = bars(50)
    made = targets(strips)
    np.testing.assert_array_equal(made[:, :DIGITS], strips.labels)
    frames = made[:, DIGITS:]
    assert frames.shape[1] == WIDEST // FRAME
    for row, labels in zip(frames, strips.labels, strict=True):
        assert collapsed(row) == labels[labels != NO_DIGIT].tolist()


def test_a_digit_narrower_than_a_frame_has_one() -> None:
    strips = StripSet(
        np.zeros((1, HEIGHT, 16), np.uint8),
        np.array([16]),
        np.array([[4]]),
        np.array([[8.1]], np.float32),
        np.array([[1]], np.float32),
    )
    assert 4 in targets(strips)[0, 1:]


def test_distorted_ink_stays_where_its_targets_are() -> None:
    strips = bars(300)
    for ink, made in Batches(strips, seed=1).epoch(0):
        middle = ink[:, HEIGHT // 2 - 4 : HEIGHT // 2 + 4, :, 0].max(axis=1)
        columns = middle.reshape(len(ink), -1, FRAME).max(axis=2)
        frames = made[:, DIGITS:]
        is_digit = (frames != IGNORED) & (frames != BLANK)
        assert (columns[is_digit] > 0).all()
        assert columns[is_digit].mean() > 2 * columns[frames == BLANK].mean()


def test_each_strip_is_in_an_epoch_once_and_never_cut_off() -> None:
    strips = bars(300)
    batches = Batches(strips, seed=1)
    epoch = list(batches.epoch(0))
    assert len(epoch) == batches.steps
    seen = np.concatenate([made[:, :DIGITS] for _, made in epoch])
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, strips.labels.tolist()))
    for ink, made in epoch:
        assert ink.shape[2] % 16 == 0
        assert ink.shape[2] // FRAME == made.shape[1] - DIGITS
        for row in made:
            labels = row[:DIGITS]
            assert collapsed(row[DIGITS:]) == labels[labels != NO_DIGIT].tolist()


@pytest.mark.parametrize("again", [(1, 0), (0, 1)])
def test_an_epoch_depends_on_the_seed_and_its_number_alone(again: tuple[int, int]) -> None:
    (one, _), (same, _), (other, _) = (
        next(Batches(bars(20), seed).epoch(epoch)) for seed, epoch in ((0, 0), (0, 0), again)
    )
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)
