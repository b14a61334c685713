import cv2
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from serving.image.ink.clutter import SMALLEST_DIGIT, free_lines, regions_at_border, shadows, specks, without_clutter
from serving.image.ink.components import components_of, without
from serving.image.ink.paper import Ink, strokes_of
from tests.support.drawn_digits import DIGITS, LABELS, drawn
from tests.support.examples import examples

SIDE = 120
seeds = st.integers(0, 2**32 - 1)
indices = st.sampled_from(np.flatnonzero(LABELS != 1).tolist())  # a 1 looks like a line
turns = st.integers(0, 3)


def digit(index: int, seed: int, size: float = 0.5) -> Ink:
    """Ink of a digit in one piece, in the middle."""
    ink = (255 * drawn(DIGITS[index], size * SIDE, np.random.default_rng(seed))).astype(np.uint8)
    top, left = ((SIDE - length) // 2 for length in ink.shape)
    picture = np.pad(ink, ((top, SIDE - top - ink.shape[0]), (left, SIDE - left - ink.shape[1])))
    components = components_of(picture)
    return without(picture, components, components.amounts < components.amounts.max())


@given(indices, seeds, turns, st.integers(1, 15), st.floats(0.35, 1))
@examples(60)
def test_a_line_or_region_along_the_border_is_dropped(
    index: int, seed: int, side: int, depth: int, length: float
) -> None:
    clean = digit(index, seed)
    picture = clean.copy()
    np.rot90(picture, side)[:depth, : int(length * SIDE)] = 255
    components = components_of(picture)
    assert regions_at_border(picture, components).sum() == 1
    np.testing.assert_array_equal(without_clutter(picture)[0], clean)


@given(indices, seeds, turns, st.integers(3, 20))
@examples(40)
def test_a_digit_that_reaches_the_border_stays(index: int, seed: int, side: int, cut: int) -> None:
    """As no other component is large enough to be the digit."""
    picture = np.rot90(digit(index, seed, 0.8), side)[SIDE // 10 + cut :].copy()
    components = components_of(picture)
    assume(np.sort(components.longer_sides)[:-1].max(initial=0) < SMALLEST_DIGIT * max(picture.shape))  # not cut in two
    assert not regions_at_border(picture, components)[components.amounts.argmax()]


@given(indices, seeds, turns, st.integers(1, 3), st.integers(5, 12))
@examples(60)
def test_a_free_line_longer_than_the_digit_is_dropped(
    index: int, seed: int, side: int, thickness: int, margin: int
) -> None:
    clean = digit(index, seed)
    picture = clean.copy()
    line = np.rot90(picture, side)[margin : margin + thickness, 10:-10]
    line[:] = 255
    components = components_of(picture)
    assume(components.amounts.argmax() != components.longer_sides.argmax())  # more ink in the line: a 1 among specks
    assert free_lines(picture, components).sum() == 1
    np.testing.assert_array_equal(without_clutter(picture)[0], clean)


@given(st.integers(3, 10), st.integers(50, 110), seeds)
@examples(40)
def test_a_1_among_specks_is_no_line(thickness: int, length: int, seed: int) -> None:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[5 : 5 + length, 60 : 60 + thickness] = 255
    clean = picture.copy()
    rng = np.random.default_rng(seed)
    for row, column in zip(rng.integers(2, SIDE - 2, 4), rng.integers(2, 50, 4), strict=True):
        picture[row, column] = 255
    np.testing.assert_array_equal(without_clutter(picture)[0], clean)


@given(indices, seeds, st.integers(64, 110), st.integers(20, 50))
@examples(40)
def test_a_pale_region_that_reaches_the_border_is_a_shadow(index: int, seed: int, level: int, depth: int) -> None:
    clean = digit(index, seed, 0.4)
    picture = clean.copy()
    cv2.circle(picture, (0, 0), depth, level, cv2.FILLED)
    assert shadows(picture, components_of(picture)).sum() == 1
    np.testing.assert_array_equal(without_clutter(picture)[0], clean)


@given(indices, seeds, st.integers(200, 255))
@examples(30)
def test_ink_as_dark_as_the_digit_is_no_shadow(index: int, seed: int, level: int) -> None:
    picture = digit(index, seed, 0.4)
    cv2.circle(picture, (0, 0), 20, level, cv2.FILLED)
    assert not shadows(picture, components_of(picture)).any()


@given(indices, seeds, st.lists(st.tuples(st.integers(2, 117), st.integers(2, 20)), max_size=20))
@examples(40)
def test_specks_are_dropped_wherever_they_are(index: int, seed: int, places: list[tuple[int, int]]) -> None:
    clean = digit(index, seed)
    picture = clean.copy()
    for row, column in places:
        picture[row, column] = 255
    ink, components = without_clutter(picture)
    np.testing.assert_array_equal(strokes_of(ink), strokes_of(clean))
    assert len(components) == 1


@given(st.integers(2, 4), st.floats(0.04, 0.055), st.integers(8, 40))
@examples(40)
def test_a_part_of_a_few_percent_stays_near_the_digit_and_goes_far_from_it(near: int, share: float, far: int) -> None:
    """A bar broken off, against dust."""
    for distance, is_dropped in ((near, False), (8 + far, True)):
        picture = np.zeros((SIDE, SIDE), np.uint8)
        picture[30:90, 50:62] = 255
        part = max(1, round(share * 60 * 12 / 6))
        picture[40:46, 62 + distance - 1 : 62 + distance - 1 + part] = 255
        assert specks(picture, components_of(picture)).any() == is_dropped


@given(st.integers(1, 80), st.integers(1, 80), st.floats(0, 1), seeds)
@examples(60)
def test_something_is_always_left(height: int, width: int, share: float, seed: int) -> None:
    picture = (np.random.default_rng(seed).random((height, width)) < share**2).astype(np.uint8) * np.uint8(255)
    ink, components = without_clutter(picture)
    assert (len(components) > 0) == bool(picture.any())
    assert not ink[picture == 0].any()
