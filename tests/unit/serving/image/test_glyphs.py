import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.image.ink.glyphs import has_several_glyphs
from serving.image.reduction import WORKING_SIDE
from tests.support.drawn_digits import DIGITS, LABELS, Floats, Grey, drawn
from tests.support.examples import examples

seeds = st.integers(0, 2**32 - 1)
indices = st.sampled_from(range(len(DIGITS)))
# 1s over one another are a broken 1, and wide digits over one another may be one in two parts.
WIDTHS = np.array([drawn(digit, 60, np.random.default_rng(0)).shape[1] for digit in DIGITS])
NEITHER_1_NOR_WIDE = np.flatnonzero((LABELS != 1) & (WIDTHS >= 20) & (WIDTHS <= 52)).tolist()


def ink_of(index: int, side: float, rng: np.random.Generator) -> Grey:
    return np.pad((255 * drawn(DIGITS[index], side, rng)).astype(np.uint8), 10)


def as_seen(share: Floats) -> Grey:
    """Ink of at most the size that pictures are looked at in."""
    scale = min(1, WORKING_SIDE / max(share.shape))
    ink: Grey = cv2.resize((255 * share).astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return ink


@given(st.lists(indices, min_size=2, max_size=12), seeds, st.floats(0.1, 0.6), st.floats(-0.2, 0.2))
@examples(60)
def test_digits_beside_one_another_are_several(chosen: list[int], seed: int, gap: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    parts = []
    for number, index in enumerate(chosen):
        ink = drawn(DIGITS[index], 60, rng)
        top = 20 + (60 - len(ink)) // 2 + round(60 * offset) * (number % 2)
        parts.append(np.pad(ink, ((top, 100 - top - len(ink)), (5, round(60 * gap)))))
    assert has_several_glyphs(as_seen(np.hstack(parts)))


@given(st.lists(st.sampled_from(NEITHER_1_NOR_WIDE), min_size=2, max_size=12), seeds, st.floats(0.25, 0.6))
@examples(60)
def test_digits_over_one_another_are_several(chosen: list[int], seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    inks = [drawn(DIGITS[index], 60, rng) for index in chosen]
    parts = []
    for ink in inks:
        left = (80 - ink.shape[1]) // 2
        parts.append(np.pad(ink, ((5, round(60 * gap)), (left, 80 - left - ink.shape[1]))))
    assert has_several_glyphs(as_seen(np.vstack(parts)))


@given(st.integers(2, 4), st.integers(2, 4), seeds, st.floats(0.35, 0.6))
@examples(60)
def test_digits_in_several_lines_are_several(lines: int, columns: int, seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    page = np.zeros((round(lines * 60 * (1 + gap)) + 60, round(columns * 60 * (1 + gap)) + 60), np.float32)
    for line in range(lines):
        for column in range(columns):
            ink = drawn(DIGITS[rng.choice(NEITHER_1_NOR_WIDE)], 60, rng)
            top, left = round(line * 60 * (1 + gap)), round(column * 60 * (1 + gap))
            page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    assert has_several_glyphs(as_seen(page))


@given(indices, seeds, st.integers(20, 140))
@examples(60)
def test_a_whole_digit_is_one(index: int, seed: int, side: int) -> None:
    assert not has_several_glyphs(ink_of(index, side, np.random.default_rng(seed)))


def test_a_digit_broken_by_a_narrow_gap_is_nearly_always_one() -> None:
    """A dry pen, a crease of the paper, or a bad scan. What is left are mostly slanted 1s, broken in the middle."""
    rng = np.random.default_rng(0)
    are_several = []
    for index in range(len(DIGITS)):
        ink = ink_of(index, 80, rng)
        broken = ink.T if rng.random() < 0.5 else ink
        middle = 10 + int(rng.uniform(0.2, 0.8) * (len(broken) - 20))
        if np.count_nonzero(broken[middle] > 128) > 32:
            continue  # along a stroke: that takes the digit apart
        broken[middle : middle + rng.integers(1, 4)] = 0
        are_several.append(has_several_glyphs(ink))
    assert np.mean(are_several) < 0.03


@given(st.floats(0.02, 0.15), st.integers(50, 140), st.integers(3, 10), st.floats(0.4, 1), st.floats(-0.1, 0.3))
@examples(60)
def test_a_5_whose_bar_is_broken_off_is_one(gap: float, side: int, pen: int, length: float, offset: float) -> None:
    ink = np.zeros((side + 40, side + 80), np.uint8)
    corners = np.array([[0.1, 0.0], [0.08, 0.4], [0.4, 0.36], [0.6, 0.6], [0.4, 0.95], [0.0, 0.9]]) * side + (30, 35)
    cv2.polylines(ink, [corners.astype(np.int32)], False, 255, pen)
    bar = (30 + int((0.1 + offset) * side), 35 - pen - round(gap * side))
    cv2.line(ink, bar, (bar[0] + int(0.6 * length * side), bar[1] - 2), 255, pen)
    assert not has_several_glyphs(ink)


@given(st.floats(0.03, 0.07), st.integers(50, 140), st.floats(0.4, 0.7), st.floats(0.06, 0.12))
@examples(60)
def test_a_0_of_a_stencil_in_two_halves_is_one(gap: float, side: int, width: float, pen: float) -> None:
    ink = np.zeros((side + 40, side + 40), np.uint8)
    middle, axes = (20 + side // 2, 20 + side // 2), (round(side * width / 2), side // 2)
    cv2.ellipse(ink, middle, axes, 0, 0, 360, 255, round(pen * side))
    half = round(gap * side / 2)
    ink[:, middle[0] - half : middle[0] + half] = 0
    assert not has_several_glyphs(ink)


def test_a_broken_1_is_one_glyph() -> None:
    ink = np.zeros((120, 60), np.uint8)
    ink[10:55, 27:33] = ink[65:110, 27:33] = 255
    assert not has_several_glyphs(ink)


@given(st.integers(1, 160), st.integers(1, 160), st.floats(0, 1), seeds)
@examples(40)
def test_any_ink_has_an_answer(height: int, width: int, share: float, seed: int) -> None:
    ink = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8) * np.uint8(255)
    assert has_several_glyphs(ink) in (True, False)
