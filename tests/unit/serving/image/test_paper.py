import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.image.ink.paper import Ink, ink_on_paper
from serving.image.ink.polarity import is_paper_light
from tests.support.drawn_digits import DIGITS, drawn
from tests.support.examples import examples

Grey = npt.NDArray[np.uint8]
SIDE = 160
WINDOW = 0.25  # of the shorter side
seeds = st.integers(0, 2**32 - 1)
indices = st.sampled_from(range(len(DIGITS)))


def share_of_ink(index: int, seed: int, size: float = 0.5) -> npt.NDArray[np.float32]:
    """A digit in the middle of a picture: the share of each pixel that ink covers."""
    ink = drawn(DIGITS[index], size * SIDE, np.random.default_rng(seed))
    top, left = ((SIDE - length) // 2 for length in ink.shape)
    return np.pad(ink, ((top, SIDE - top - ink.shape[0]), (left, SIDE - left - ink.shape[1])))


def inked(grey: Grey, is_light: bool = True, window: float = WINDOW) -> Ink:
    found = ink_on_paper(grey, is_light, window)
    assert found is not None
    return found.ink


@given(indices, seeds, st.integers(120, 255), st.integers(30, 100), st.booleans())
@example(234, 53, 120, 43, True)
@examples(40)
def test_ink_on_flat_paper_is_exact(index: int, seed: int, paper: int, contrast: int, is_light: bool) -> None:
    share = (share_of_ink(index, seed) > 0.5).astype(np.float32)
    grey = np.rint(paper - contrast * share).astype(np.uint8)
    ink = inked(grey if is_light else 255 - grey, is_light)
    np.testing.assert_array_equal(ink, 255 * share)


@given(indices, seeds, st.floats(0.2, 0.8), st.floats(0.4, 0.8), st.booleans())
@examples(40)
def test_a_step_of_the_paper_leaves_no_stroke(
    index: int, seed: int, edge: float, shadow: float, is_upright: bool
) -> None:
    """A shadow with a sharp edge through the digit leaves no trace, and as much ink in the dark as in the light."""
    light = np.full((SIDE, SIDE), 220.0)
    (light if is_upright else light.T)[int(edge * SIDE) :] *= shadow
    share = share_of_ink(index, seed)
    noise = np.random.default_rng(seed).normal(0, 2, light.shape)
    taken = cv2.GaussianBlur(light * (1 - 0.8 * share), (0, 0), 1)  # as every lens does
    ink = inked((taken + noise).astype(np.uint8)).astype(float)
    near = cv2.dilate(share, np.ones((9, 9), np.uint8)) > 0
    assert ink[~near].max() < 64  # no stroke, anywhere along the edge
    assert np.abs(ink - 255 * share).mean() < 10


@given(indices, seeds, st.floats(-80, 80), st.floats(-40, 40))
@examples(40)
def test_a_gradient_of_the_paper_is_followed(index: int, seed: int, right: float, down: float) -> None:
    place = np.linspace(-0.5, 0.5, SIDE)
    light = 170 + right * place[None, :] + down * place[:, None]
    share = share_of_ink(index, seed)
    noise = np.random.default_rng(seed).normal(0, 1, light.shape)
    ink = inked((light * (1 - 0.7 * share) + noise).astype(np.uint8))
    assert np.abs(ink - 255 * share).mean() < 8


@given(
    st.integers(60, 200),
    st.integers(60, 200),
    st.floats(1, 12),
    st.floats(60, 200),
    st.floats(-15, 15),
    seeds,
    st.booleans(),
)
@examples(60)
def test_noise_is_blank(
    height: int, width: int, noise: float, level: float, falling: float, seed: int, is_light: bool
) -> None:
    light = level + np.linspace(0, falling, width)[None, :]
    page = np.random.default_rng(seed).normal(0, noise, (height, width)) + light
    assert ink_on_paper(np.clip(page, 0, 255).astype(np.uint8), is_light, WINDOW) is None


@pytest.mark.parametrize("contrast", [15, 17])
def test_ink_is_blank_below_16_levels_and_no_more(contrast: int) -> None:
    grey = (200 - contrast * share_of_ink(0, 0)).astype(np.uint8)
    assert (ink_on_paper(grey, True, WINDOW) is None) == (contrast < 16)


def test_the_contrast_is_that_of_the_strokes_cores() -> None:
    found = ink_on_paper((200 - 70 * share_of_ink(0, 0)).astype(np.uint8), True, WINDOW)
    assert found is not None
    assert found.is_flat
    assert abs(found.contrast - 70) <= 1


def test_faint_ink_far_from_any_stroke_is_paper() -> None:
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    grey[40:120, 70:80] = 0
    grey[40:60, 130:140] = 230  # a texture, or a JPEG's ringing
    grey[60:100, 80:83] = 230  # the stroke's own soft edge
    ink = inked(grey)
    assert not ink[:, 120:].any()
    assert ink[60:100, 80:83].all()


def shaded(seed: int) -> npt.NDArray[np.float64]:
    """Light of a photo: from a side, and with a shadow's edge."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[-0.5 : 0.5 : SIDE * 1j, -0.5 : 0.5 : SIDE * 1j]
    angle, falling = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
    across = np.cos(angle) * right + np.sin(angle) * down
    edge = 0.5 + 0.5 * np.tanh((across - rng.uniform(-0.3, 0.3)) / rng.uniform(0.01, 0.1))
    light: npt.NDArray[np.float64] = rng.uniform(150, 230) * (1 + falling * across) * (1 - rng.uniform(0, 0.45) * edge)
    return light


@pytest.mark.parametrize("is_light", [True, False])
def test_polarity_is_nearly_always_right_on_uneven_paper(is_light: bool) -> None:
    is_right = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ink = share_of_ink(int(rng.integers(len(DIGITS))), seed, rng.uniform(0.25, 0.7))
        photo = shaded(seed) * (1 - 0.75 * ink) + rng.normal(0, 1, ink.shape)
        grey = np.clip(photo, 0, 255).astype(np.uint8)
        is_right.append(is_paper_light(grey if is_light else 255 - grey) == is_light)
    assert np.mean(is_right) >= 0.98


@given(indices, seeds, st.floats(0.15, 0.9), st.integers(0, 255), st.integers(0, 255))
@examples(60)
def test_polarity_is_right_on_flat_paper(index: int, seed: int, size: float, paper: int, ink: int) -> None:
    if abs(paper - ink) < 16:
        paper, ink = 255, 0
    grey = np.rint(paper + (ink - paper) * share_of_ink(index, seed, size).astype(float)).astype(np.uint8)
    assert is_paper_light(grey) == (paper > ink)
