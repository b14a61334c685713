"""Pieces of touching digits, and the strips that the server's own code makes of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.whole_numbers import committed_handwriting
from training.columns.pictures import MOST_DIGITS, Sources, by_writer, pieces
from training.columns.strips import FRAME, HEIGHT, NO_DIGIT, WIDEST, StripSet, draw_strips, kept_strips
from training.data.preprocessing import Strips, strips_of_pictures
from training.errors import RunError
from training.synthetic.scribbles import scribble

HANDWRITING = committed_handwriting()
SOURCES = Sources(by_writer(HANDWRITING.digits, HANDWRITING.writer), scribble, 0.2)
SEED = [3, 0]


@pytest.fixture(scope="module")
def strips() -> StripSet:
    return draw_strips(SOURCES, 60, SEED, strips_of_pictures)


def test_only_those_who_wrote_enough_write() -> None:
    writer = np.repeat(np.array([7, 8], np.uint16), [20, 5])
    (only,) = by_writer(HANDWRITING.digits.take(np.arange(25)), writer)
    np.testing.assert_array_equal(only.pixels, HANDWRITING.digits.pixels[:20])


@given(st.integers(0, 2**32))
def test_the_ink_of_each_digit_lies_where_the_piece_says(seed: int) -> None:
    for piece in itertools.islice(pieces(SOURCES, np.random.default_rng(seed)), 3):
        assert len(piece.digits) == len(piece.extents) <= MOST_DIGITS
        if not piece.digits:
            assert piece.ink.any()
            continue
        named = np.zeros(piece.ink.shape, np.bool_)
        for each in piece.extents:
            for row, first, last in zip(each.rows, each.firsts, each.lasts, strict=True):
                assert piece.ink[row, first]
                assert piece.ink[row, last]
                named[row, first : last + 1] = True
        # Blur widens strokes. What is far from all digits is no ink of theirs.
        assert (piece.ink > 0).sum() <= 3 * named.sum() + 60


def test_strips_show_their_digits_around_the_centres(strips: StripSet) -> None:
    assert strips.pixels.shape == (60, HEIGHT, WIDEST)
    assert (strips.lengths % FRAME == 0).all()
    for row, pixels in enumerate(strips.pixels):
        there = strips.labels[row] != NO_DIGIT
        if not there.any():
            continue
        assert there[: there.sum()].all()
        inked = np.flatnonzero(pixels.any(axis=0))
        assert inked[-1] < strips.lengths[row]
        lefts = (strips.centres[row] - strips.widths[row] / 2)[there]
        rights = (strips.centres[row] + strips.widths[row] / 2)[there]
        # Pixels less than half covered count as ink in the strip and not in the extent: a share of a small digit.
        assert abs(lefts.min() - inked[0]) <= 5
        assert abs(rights.max() - inked[-1] - 1) <= 5
        for left, right in zip(lefts, rights, strict=True):
            assert pixels[:, max(0, round(left)) : max(1, round(right))].any(axis=0).mean() > 0.7


def test_strips_are_labelled_with_the_digits_of_their_pieces(strips: StripSet) -> None:
    drawn = itertools.islice(pieces(SOURCES, np.random.default_rng(SEED)), len(strips))
    expected = [piece.digits for piece in drawn]
    found = [tuple(labels[labels != NO_DIGIT].tolist()) for labels in strips.labels]
    assert len(set(map(len, found))) > 2
    in_order = iter(expected)  # those that are too wide are left out, and others are behind the last
    assert all(each in in_order for each in found[: len(found) - 5])


def test_equal_seeds_draw_equal_strips(strips: StripSet) -> None:
    same, other = (draw_strips(SOURCES, 60, seed, strips_of_pictures) for seed in (SEED, [4, 0]))
    np.testing.assert_array_equal(same.pixels, strips.pixels)
    np.testing.assert_array_equal(same.centres, strips.centres)
    assert not np.array_equal(other.labels, strips.labels)


def test_strips_that_are_kept_are_not_drawn_again(tmp_path: Path) -> None:
    calls = []

    def counted(pictures: Sequence[npt.NDArray[np.uint8]]) -> Strips:
        calls.append(len(pictures))
        return strips_of_pictures(pictures)

    told: list[int] = []
    one, other = (kept_strips(tmp_path, SOURCES, 20, [1], counted, told.append) for _ in range(2))
    assert calls[0] == 20
    assert told == [20]
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.take(np.array([3, 5])).labels, other.labels[[3, 5]])


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_strips_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "000.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"000\.npz is damaged .* Delete it"):
        kept_strips(tmp_path, SOURCES, 20, [1], strips_of_pictures, print)
