"""Hostile pictures: whatever the levels are, framing answers without an error or a warning, and in bounded work."""

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.image.framing import frame
from serving.image.picture import Framed, Quality
from tests.support.examples import examples
from tests.support.work import calls_made

Grey = npt.NDArray[np.uint8]
# Sides at which some step begins or ends, and their neighbours; else any.
sides = st.integers(1, 300) | st.sampled_from([1, 2, 3, 19, 20, 23, 24, 47, 48, 59, 60, 63, 64, 159, 160, 161])
levels = st.integers(0, 255)
seeds = st.integers(0, 2**32 - 1)


def framed_strictly(picture: Grey) -> Framed:
    before = picture.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        framed = frame(picture)
    np.testing.assert_array_equal(picture, before)
    assert framed.pixels.shape == (784,)
    assert framed.pixels.dtype == np.uint8
    assert framed.is_blank != framed.pixels.any()
    return framed


def clipped(picture: npt.NDArray[np.float64]) -> Grey:
    return np.clip(picture, 0, 255).astype(np.uint8)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))))
@examples(100)
def test_any_levels_in_a_small_picture_are_framed_or_blank(picture: Grey) -> None:
    framed_strictly(picture)


@given(sides, sides, levels)
@examples(40)
def test_a_picture_of_one_level_is_blank(height: int, width: int, level: int) -> None:
    assert framed_strictly(np.full((height, width), level, np.uint8)).is_blank


@given(sides, sides, levels, st.floats(0, 90), seeds)
@examples(60)
def test_noise_is_framed_or_blank(height: int, width: int, level: int, noise: float, seed: int) -> None:
    framed_strictly(clipped(np.random.default_rng(seed).normal(level, noise, (height, width))))


@given(sides, sides, st.floats(0, 255), st.floats(-255, 255), st.floats(-255, 255))
@examples(60)
def test_a_gradient_is_framed_or_blank(height: int, width: int, level: float, down: float, right: float) -> None:
    framed_strictly(clipped(level + np.linspace(0, down, height)[:, None] + np.linspace(0, right, width)[None, :]))


@given(sides, sides, levels, levels, st.floats(0, 1), seeds)
@examples(60)
def test_dots_are_framed_or_blank(height: int, width: int, paper: int, ink: int, share: float, seed: int) -> None:
    dotted = np.random.default_rng(seed).random((height, width)) < share**6  # from none over a few to all
    framed_strictly(np.where(dotted, ink, paper).astype(np.uint8))


@given(sides, sides, levels, levels, st.integers(1, 9), st.booleans())
@examples(60)
def test_stripes_and_chequers_are_framed_or_blank(
    height: int, width: int, dark: int, light: int, pitch: int, is_chequered: bool
) -> None:
    rows, columns = np.indices((height, width)) // pitch
    framed_strictly(np.where((rows + columns if is_chequered else rows) % 2, dark, light).astype(np.uint8))


@given(sides, sides, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), levels), max_size=6), levels)
@examples(60)
def test_rectangles_over_one_another_are_framed_or_blank(
    height: int, width: int, corners: list[tuple[float, float, int]], paper: int
) -> None:
    """Sheets on sheets, regions at the border, solid pieces."""
    picture = np.full((height, width), paper, np.uint8)
    for down, right, level in corners:
        picture[int(down * height) : height - int(down * right * height), int(right * width) :] = level
    framed_strictly(picture)


@given(st.integers(100, 220), st.integers(60, 300), st.integers(60, 300), st.floats(0.5, 4), st.floats(-20, 20), seeds)
@examples(60)
def test_plain_paper_with_noise_is_blank_though_lit_from_a_side(
    level: int, height: int, width: int, noise: float, falling: float, seed: int
) -> None:
    light = level + np.linspace(0, falling, width)[None, :] * np.ones((height, 1))
    assert framed_strictly(clipped(light + np.random.default_rng(seed).normal(0, noise, light.shape))).is_blank


def worst_pictures() -> dict[str, Grey]:
    generator = np.random.default_rng(0)
    rows, columns = np.indices((160, 160))
    return {
        "noise": generator.integers(0, 256, (160, 160), np.uint8),
        "soft noise": clipped(generator.normal(128, 40, (160, 160))),
        "chequers": ((rows // 2 + columns // 2) % 2 * 255).astype(np.uint8),
        "dots": ((rows % 3 == 0) & (columns % 3 == 0)).astype(np.uint8) * np.uint8(255),
        "rings": (np.maximum(abs(rows - 80), abs(columns - 80)) // 3 % 2 * 255).astype(np.uint8),
        "gradient": ((rows + columns) * 255 // 320).astype(np.uint8),
    }


@pytest.mark.parametrize("name", worst_pictures())
def test_no_picture_is_framed_piece_by_piece(name: str) -> None:
    """At most 900 calls are made (2026-11-29), and 250 for a digit; each of these pictures has thousands of pieces."""
    picture = worst_pictures()[name]
    assert calls_made(lambda: frame(picture)) < 2_000


def test_a_picture_of_25_megapixels_is_framed_as_a_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5_000, 5_000), np.uint8)
    assert calls_made(lambda: frame(noise)) < 2_000


def test_a_dark_picture_is_said_to_be_mostly_dark() -> None:
    assert Quality.MOSTLY_DARK in framed_strictly(np.full((50, 50), 80, np.uint8)).quality
    assert Quality.MOSTLY_DARK not in framed_strictly(np.full((50, 50), 90, np.uint8)).quality
