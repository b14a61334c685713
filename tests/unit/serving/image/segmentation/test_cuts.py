"""Cuts through pieces of ink: few, in order, and one of them near the border of two digits."""

import cv2
import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.image.segmentation.cuts import MOST, Cuts, cuts_of, hand_over_stumps, upright_of
from tests.support.drawn_digits import Floats, Generator, drawn
from tests.support.drawn_lines import as_ink, row_of, some_digits
from tests.support.examples import examples

PAIRS = 300
OVERLAP = 0.07  # of the height, at most
seeds = st.integers(0, 2**32 - 1)


def pair(height: int, rng: Generator) -> tuple[Floats, Floats]:
    """Two digits whose boxes overlap slightly, each in a picture of its own of one size."""
    one, other = (drawn(digit, height, rng) for digit in some_digits(2, rng))
    rows = max(len(one), len(other))
    start = one.shape[1] - round(rng.uniform(0, OVERLAP) * height)
    left, right = np.zeros((2, rows, max(one.shape[1], start + other.shape[1])), np.float32)
    left[rows - len(one) :, : one.shape[1]] = one
    right[rows - len(other) :, start : start + other.shape[1]] = other
    return left, right


def cut(ink: npt.NDArray[np.uint8], height: float) -> list[Cuts]:
    return cuts_of([upright_of(ink, height)], height)


def misplaced(path: npt.NDArray[np.int64], left: Floats, right: Floats) -> float:
    """Returns the share of a digit's ink that lies on the wrong side of the path, of the digit with more of it."""
    is_left = np.arange(left.shape[1]) < path[:, None]
    return max(float(left[~is_left].sum() / left.sum()), float(right[is_left].sum() / right.sum()))


def test_two_digits_that_overlap_slightly_mostly_have_a_cut_near_their_border() -> None:
    """Of 2,000 pairs 74 % have a cut that misplaces at most 5 % of a digit, and 87 % one that misplaces 20 %."""
    least = []
    for seed in range(PAIRS):
        rng = np.random.default_rng(seed)
        height = int(rng.integers(24, 90))
        left, right = pair(height, rng)
        (cuts,) = cut(as_ink(np.maximum(left, right)), float(height))
        least.append(min((misplaced(path, left, right) for path in cuts.paths), default=1.0))
    assert np.mean(np.array(least) <= 0.05) >= 0.66
    assert np.mean(np.array(least) <= 0.2) >= 0.8


def check_cuts(cuts: Cuts, shape: tuple[int, int]) -> None:
    paths, inks = cuts.paths, cuts.inks
    assert paths.shape == (len(inks), shape[0])
    assert len(paths) <= MOST
    assert np.isfinite(inks).all()
    assert (inks >= 0).all()
    assert (np.abs(np.diff(paths, axis=1)) <= 2).all()  # a step of the slant and one sideways
    assert (np.diff(paths.mean(axis=1)) >= 0).all()  # from left to right


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.floats(1, 60))
@examples(100)
def test_any_ink_has_a_bounded_number_of_cuts(ink: npt.NDArray[np.uint8], height: float) -> None:
    (cuts,) = cut(ink, height)
    check_cuts(cuts, ink.shape)


@given(seeds, st.integers(20, 60), st.integers(2, 12), st.floats(-0.1, 0.05))
@examples(40)
def test_a_long_piece_has_a_bounded_number_of_cuts(seed: int, height: int, count: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    ink = as_ink(row_of(some_digits(count, rng), height, gap, rng).ink)
    (cuts,) = cut(ink, float(height))
    check_cuts(cuts, ink.shape)


@given(st.lists(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), max_size=8))
@examples(40)
def test_pieces_are_cut_together_as_they_are_alone(inks: list[npt.NDArray[np.uint8]]) -> None:
    for ink, cuts in zip(inks, cuts_of([upright_of(each, 12.0) for each in inks], 12.0), strict=True):
        (alone,) = cut(ink, 12.0)
        assert (cuts.paths.tolist(), cuts.inks.tolist()) == (alone.paths.tolist(), alone.inks.tolist())


# Stumps


def test_a_foot_under_the_next_digit_goes_back_to_the_digit_that_it_is_of() -> None:
    parts = np.zeros((20, 20), np.uint16)
    parts[2:18, 3:6] = 1
    parts[15:18, 6:12] = 1  # its foot
    parts[2:13, 8:11] = 2
    parts[7:9, 6:8] = 1  # where they touch
    cut = parts.copy()
    cut[(parts > 0) & (np.arange(20) >= 8)] = 2  # leaves the end of the foot with the second digit
    hand_over_stumps(cut)
    np.testing.assert_array_equal(cut, parts)


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(5, 60), st.integers(1, 6))
@examples(60)
def test_no_ink_is_lost_and_the_largest_ink_between_two_cuts_stays(
    seed: int, height: int, width: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), float(rng.uniform(0.5, 3)))
    before = np.where(soft > 0, np.linspace(1, count + 0.999, width).astype(np.uint16), 0).astype(np.uint16)
    after = before.copy()
    hand_over_stumps(after)
    np.testing.assert_array_equal(after > 0, before > 0)
    for number in set(before[before > 0].tolist()):
        _, labels, stats, _ = cv2.connectedComponentsWithStats((before == number).view(np.uint8))
        largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
        assert (after[largest] == number).all()
