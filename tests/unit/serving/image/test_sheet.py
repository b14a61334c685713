import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serving.image.framing import frame
from serving.image.ink.sheet import Box, find_sheet
from serving.image.ink.writing import find_writing
from tests.support.allographs import angular, picture
from tests.support.drawn_digits import DIGITS, LABELS, Grey, drawn
from tests.support.examples import examples
from tests.support.likeness import unlike

SIDE = 160
seeds = st.integers(0, 2**32 - 1)


def on_desk(sheet: Grey, degrees: float, desk: int) -> tuple[Grey, Box]:
    """Lays `sheet` in the middle of a desk of one level, turned; returns the picture and the least box around it."""
    height, width = sheet.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turn[:, 2] += ((SIDE - width) / 2, (SIDE - height) / 2)
    covered = cv2.warpAffine(np.full_like(sheet, 255), turn, (SIDE, SIDE))
    picture = np.where(covered > 127, cv2.warpAffine(sheet, turn, (SIDE, SIDE)), desk).astype(np.uint8)
    left, top, wide, high = cv2.boundingRect((covered > 127).astype(np.uint8))
    return picture, (left, top, wide, high)


def written(
    digit: Grey, height: int, width: int, paper: int, ink: int, rng: np.random.Generator, boldness: float = 0
) -> Grey:
    """A sheet of one level with a digit of half its size in the middle, bolder by that share of the digit's size."""
    share = drawn(digit, 0.5 * min(height, width), rng)
    thick = 1 + round(boldness * max(share.shape))
    share = cv2.dilate(np.pad(share, thick // 2), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick)))
    top, left = ((length - size) // 2 for length, size in zip((height, width), share.shape, strict=True))
    page = np.full((height, width), float(paper))
    page[top : top + share.shape[0], left : left + share.shape[1]] += (ink - paper) * share
    return page.astype(np.uint8)


@given(
    st.sampled_from(range(len(DIGITS))),
    seeds,
    st.integers(50, 100),
    st.integers(50, 100),
    st.floats(-45, 45),
    st.floats(0, 0.1),
    st.booleans(),
)
@examples(60)
def test_a_sheet_on_a_desk_is_found_at_any_angle(
    index: int, seed: int, height: int, width: int, degrees: float, boldness: float, is_dark: bool
) -> None:
    assume(LABELS[index] != 1 or boldness < 0.05)  # a bold 1 in a narrow sheet looks like the inside of a 0
    sheet = written(DIGITS[index], height, width, 220, 40, np.random.default_rng(seed), boldness)
    picture, (left, top, wide, high) = on_desk(sheet, degrees, 60)
    found = find_sheet(255 - picture if is_dark else picture)
    assert found is not None
    inset = np.array(
        [found[0] - left, found[1] - top, left + wide - found[0] - found[2], top + high - found[1] - found[3]]
    )
    assert (inset >= 0).all()
    assert (inset <= 6).all()


@given(st.sampled_from(range(len(DIGITS))), seeds, st.floats(-12, 12), st.booleans())
@examples(40)
def test_a_digit_on_a_sheet_on_a_desk_has_the_frame_of_the_sheet_alone(
    index: int, seed: int, degrees: float, is_dark: bool
) -> None:
    sheet = written(DIGITS[index], 90, 90, 220, 40, np.random.default_rng(seed))
    picture, _ = on_desk(sheet, degrees, 60)
    alone, _ = on_desk(sheet, degrees, 220)
    if is_dark:
        picture, alone = 255 - picture, 255 - alone
    assert find_sheet(alone) is None
    assert unlike(frame(picture).pixels, frame(alone).pixels) < 0.6


@given(
    st.sampled_from(np.flatnonzero(LABELS <= 1).tolist()), seeds, st.floats(0.3, 0.95), st.floats(0, 1), st.booleans()
)
@examples(60)
def test_a_bold_0_or_1_is_ink_and_no_sheet(index: int, seed: int, size: float, boldness: float, is_dark: bool) -> None:
    share = drawn(DIGITS[index], size * SIDE, np.random.default_rng(seed))
    thick = 1 + int(boldness * 0.15 * max(share.shape))
    room = SIDE - min(SIDE, max(share.shape) + 2 * thick)
    bold = cv2.dilate(np.pad(share, thick + room // 2), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick)))
    strokes = np.where(bold > 0.5, np.uint8(255), np.uint8(0))  # without soft edges: what is found is exact
    assume(2 * np.count_nonzero(strokes) < strokes.size)  # else nothing says which of the two is ink
    picture = strokes if is_dark else 255 - strokes
    writing = find_writing(picture)
    assert writing is not None
    assert np.count_nonzero(writing.ink != strokes) <= 0.02 * np.count_nonzero(strokes)  # its specks are dropped


@given(st.sampled_from([0, 8]), seeds, st.booleans())
@examples(60)
def test_an_angular_0_or_8_is_ink_and_no_sheet(digit: int, seed: int, is_dark: bool) -> None:
    rng = np.random.default_rng(seed)
    drawing = picture(angular(digit, rng), rng)
    writing = find_writing(255 - drawing if is_dark else drawing)
    assert writing is not None
    assert writing.is_paper_light is not is_dark
    assert writing.ink.shape == drawing.shape


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 255), st.floats(0, 6), seeds)
@examples(60)
def test_plain_paper_is_no_sheet(height: int, width: int, level: int, noise: float, seed: int) -> None:
    page = np.random.default_rng(seed).normal(level, noise, (height, width))
    assert find_sheet(np.clip(page, 0, 255).astype(np.uint8)) is None


@pytest.mark.parametrize("is_dark", [False, True])
def test_a_disc_is_no_sheet(is_dark: bool) -> None:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(picture, (80, 80), 50, 255, cv2.FILLED)
    assert find_sheet(255 - picture if is_dark else picture) is None
