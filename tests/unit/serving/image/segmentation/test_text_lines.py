"""Pieces are grouped into the lines that they were written on, whatever order they come in."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from serving.image.segmentation.text_lines import Boxes, Lines, lines_of
from tests.support.drawn_digits import Generator
from tests.support.examples import examples

seeds = st.integers(0, 2**32 - 1)


def piece(x: float, middle: float, height: float, rng: Generator) -> tuple[float, float, float, float]:
    """A digit's box: left, top, width, height."""
    tall = rng.uniform(0.8, 1.1) * height
    return x, middle - tall / 2, rng.uniform(0.2, 0.8) * height, tall


def shuffled(
    boxes: list[tuple[float, float, float, float]], lines: list[int], rng: Generator
) -> tuple[Boxes, npt.NDArray[np.int64]]:
    order = rng.permutation(len(boxes))
    return np.rint(np.array(boxes)).astype(np.int32)[order], np.array(lines)[order]


def written(height: float, degrees: float, rng: Generator) -> tuple[Boxes, Lines]:
    """One to five lines of four to twelve digits that dance a little."""
    slope, pitch = np.tan(np.radians(degrees)), rng.uniform(1.6, 3) * height
    boxes, lines = [], []
    for line in range(int(rng.integers(1, 6))):
        x = rng.uniform(0, 1) * height
        for _ in range(int(rng.integers(4, 13))):
            middle = 500 + line * pitch + slope * x + rng.uniform(-0.1, 0.1) * height
            boxes.append(piece(x, middle, height, rng))
            lines.append(line)
            x += boxes[-1][2] + rng.uniform(0.1, 0.5) * height
    return shuffled(boxes, lines, rng)


def sparse_grid(height: float, degrees: float, rng: Generator) -> tuple[Boxes, Lines]:
    """A sudoku: nine rows of nine places, a third of them filled."""
    slope, pitch = np.tan(np.radians(degrees)), rng.uniform(1.7, 2.4) * height
    boxes, rows = [], []
    for row, column in np.argwhere(rng.random((9, 9)) < 0.35):
        x = column * pitch + rng.uniform(-0.15, 0.15) * height
        middle = 500 + row * pitch + slope * x + rng.uniform(-0.12, 0.12) * height
        boxes.append(piece(x, middle, height, rng))
        rows.append(int(row))
    filled = np.unique(rows).tolist()
    return shuffled(boxes, [filled.index(row) for row in rows], rng)


@given(seeds, st.floats(15, 80), st.floats(-8, 8))
@examples(200)
def test_lines_with_jitter_and_slope_keep_their_digits_and_their_order(
    seed: int, height: float, degrees: float
) -> None:
    boxes, lines = written(height, degrees, np.random.default_rng(seed))
    np.testing.assert_array_equal(lines_of(boxes, height), lines)


@given(seeds, st.floats(15, 60), st.floats(-3, 3))
@examples(200)
def test_the_rows_of_a_sparse_grid_are_its_lines(seed: int, height: float, degrees: float) -> None:
    boxes, lines = sparse_grid(height, degrees, np.random.default_rng(seed))
    np.testing.assert_array_equal(lines_of(boxes, height), lines)


@given(seeds, st.floats(20, 80), st.floats(-8, 8), st.floats(0.1, 0.4), st.floats(-0.5, 0.5))
@examples(100)
def test_small_pieces_go_with_the_line_that_they_are_nearest_to(
    seed: int, height: float, degrees: float, size: float, above: float
) -> None:
    """Points, commas, and the broken-off parts of digits."""
    rng = np.random.default_rng(seed)
    boxes, lines = written(height, degrees, rng)
    near = rng.integers(len(boxes), size=4)
    small = boxes[near].copy()
    middles = small[:, 1] + small[:, 3] / 2 - above * height
    small[:, 0] += small[:, 2]  # right of the digit
    small[:, 2:] = round(size * height)
    small[:, 1] = np.rint(middles - small[:, 3] / 2)
    np.testing.assert_array_equal(
        lines_of(np.concatenate([boxes, small]), height), np.concatenate([lines, lines[near]])
    )


@given(seeds, st.floats(20, 80), st.floats(2, 5))
@examples(50)
def test_a_small_piece_far_from_all_lines_is_of_none(seed: int, height: float, above: float) -> None:
    boxes, _ = written(height, 0, np.random.default_rng(seed))
    speck = np.rint([[0, boxes[:, 1].min() - above * height, 0.2 * height, 0.2 * height]]).astype(np.int32)
    assert lines_of(np.concatenate([boxes, speck]), height)[-1] == -1


def test_without_large_pieces_there_is_no_line() -> None:
    assert lines_of(np.zeros((0, 4), np.int32), 20.0).tolist() == []
    assert lines_of(np.array([[5, 5, 3, 3]], np.int32), 20.0).tolist() == [-1]
