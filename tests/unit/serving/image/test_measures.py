"""Measures of pixels for drift: shape of the ink, whatever its place, darkness and neighbours in the batch."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.image.measures import PIXEL_MEASURES, SIDE, measured
from tests.support.processes import ROOT

Fields = npt.NDArray[np.uint8]

DIGITS = np.load(ROOT / "tests" / "data" / "digits.npz")["pixels"]
HALF_HEIGHT = 7.0


def bar(slant: float, width: float, down: float = 0.0, right: float = 0.0, level: int = 255) -> Fields:
    """A bar 14 pixels high and `width` wide, sheared to the right by `slant`, with soft edges: (1, 784)."""
    fine = (np.arange(SIDE * 8) + 0.5) / 8 - SIDE / 2
    y, x = fine[:, np.newaxis] - down, fine[np.newaxis, :] - right
    is_ink = (abs(y) <= HALF_HEIGHT) & (abs(x + slant * y) <= width / 2)
    coverage = is_ink.reshape(SIDE, 8, SIDE, 8).mean(axis=(1, 3))
    drawn: Fields = np.rint(level * coverage).astype(np.uint8).reshape(1, -1)
    return drawn


def measure(pixels: Fields, name: str) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = measured(pixels)[:, PIXEL_MEASURES.index(name)]
    return values


@given(st.floats(-1.1, 1.1), st.floats(2, 6), st.floats(-2, 2), st.floats(-2, 2), st.integers(120, 255))
def test_slant_is_the_shear_of_the_ink_wherever_and_however_dark_it_is(
    slant: float, width: float, down: float, right: float, level: int
) -> None:
    assert measure(bar(slant, width, down, right, level), "slant") == pytest.approx(slant, abs=0.03)


@given(st.floats(-1.1, 1.1), st.floats(2, 6))
def test_aspect_is_that_of_the_ink_upright(slant: float, width: float) -> None:
    assert measure(bar(slant, width), "aspect") == pytest.approx(width / (2 * HALF_HEIGHT), abs=0.04)


def test_a_mirrored_digit_leans_to_the_other_side_and_is_as_wide() -> None:
    mirrored = DIGITS.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(-1, SIDE * SIDE)
    np.testing.assert_allclose(measure(mirrored, "slant"), -measure(DIGITS, "slant"), atol=1e-4)
    np.testing.assert_allclose(measure(mirrored, "aspect"), measure(DIGITS, "aspect"), atol=1e-4)


def test_measures_do_not_depend_on_the_batch() -> None:
    alone = np.concatenate([measured(pixels[np.newaxis]) for pixels in DIGITS])
    np.testing.assert_allclose(alone, measured(DIGITS), atol=1e-4)


def test_blanks_are_zero_and_the_least_ink_is_finite() -> None:
    odd = np.zeros((6, SIDE, SIDE), np.uint8)
    odd[1, 27, 27] = 1
    odd[2, 20] = 255  # a row has no spread down
    odd[3, :, 25] = 255
    odd[4] = 255
    odd[5, 0, 0] = odd[5, 27, 27] = 255
    found = measured(odd.reshape(-1, SIDE * SIDE))
    assert not found[0].any()
    assert np.isfinite(found).all()
    assert found[2, PIXEL_MEASURES.index("aspect")] > 20
    assert found[5, PIXEL_MEASURES.index("slant")] == pytest.approx(-1)
