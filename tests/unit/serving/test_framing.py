from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.image.framing import frame

Grey = npt.NDArray[np.uint8]


def drawn_seven(height: int = 120, width: int = 90) -> Grey:
    """A thick 7, ink 255 on paper 0, off the middle."""
    picture = np.zeros((height, width), np.uint8)
    picture[20:30, 20:70] = 255
    for row in range(30, 100):
        column = 65 - (row - 30) // 2
        picture[row, column : column + 10] = 255
    return picture


SEVEN = frame(drawn_seven()).pixels.reshape(28, 28)


def difference(framed: Grey) -> float:
    """Mean grey levels by which a framed picture differs from the plain seven."""
    return float(np.abs(framed.reshape(28, 28).astype(int) - SEVEN).mean())


def test_the_ink_fills_the_20_pixel_box_and_its_centre_of_mass_is_at_index_14() -> None:
    rows, columns = np.nonzero(SEVEN)
    assert max(np.ptp(rows), np.ptp(columns)) == 19
    for axis in (0, 1):
        mass = SEVEN.sum(axis=1 - axis)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 14) <= 0.5


def test_mnists_own_digits_framed_again_are_nearly_themselves() -> None:
    digits = np.load(Path(__file__).parents[2] / "data" / "digits.npz")["pixels"]
    changes = [np.abs(frame(pixels.reshape(28, 28)).pixels.astype(int) - pixels).mean() for pixels in digits]
    assert np.median(changes) < 0.5
    assert np.mean(np.array(changes) < 2) > 0.98  # the others lose a speck


def test_the_aspect_is_kept() -> None:
    stroke = np.zeros((100, 100), np.uint8)
    stroke[10:90, 48:52] = 255
    rows, columns = np.nonzero(frame(stroke).pixels.reshape(28, 28))
    assert np.ptp(rows) == 19
    assert np.ptp(columns) <= 2


def test_inverted_paper_and_ink_give_the_same_digit() -> None:
    assert difference(frame(255 - drawn_seven()).pixels) == 0


@pytest.mark.parametrize(("paper", "ink"), [(30, 90), (200, 140), (0, 60), (255, 128)])
def test_weak_contrast_of_either_polarity_gives_the_same_digit(paper: int, ink: int) -> None:
    assert difference(frame(np.where(drawn_seven() > 0, ink, paper).astype(np.uint8)).pixels) < 1


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=30, deadline=None)
def test_where_the_digit_stands_does_not_matter(top: int, bottom: int, left: int, right: int) -> None:
    assert difference(frame(np.pad(drawn_seven(), ((top, bottom), (left, right)))).pixels) == 0


@pytest.mark.parametrize("factor", [2, 3])
def test_its_size_does_not_matter(factor: int) -> None:
    assert difference(frame(drawn_seven().repeat(factor, axis=0).repeat(factor, axis=1)).pixels) < 2


def test_a_shadow_across_noisy_paper_is_taken_away() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (120, 90))
    paper = 150 + np.linspace(-60, 60, 90)[None, :] + np.linspace(-20, 20, 120)[:, None]
    photo = np.clip(paper + noise - 80 * (drawn_seven() / 255), 0, 255).astype(np.uint8)
    assert difference(frame(photo).pixels) < 6


def test_specks_do_not_move_the_digit() -> None:
    speckled = drawn_seven()
    speckled[5:7, 80:82] = 255
    speckled[110:112, 3:5] = 255
    assert difference(frame(speckled).pixels) == 0


def test_a_picture_of_specks_alone_is_framed() -> None:
    specks = np.zeros((60, 60), np.uint8)
    specks[1::3, 1::3] = 255
    assert not frame(specks).is_blank


@pytest.mark.parametrize("level", [0, 128, 255])
def test_even_paper_is_blank(level: int) -> None:
    framed = frame(np.full((40, 50), level, np.uint8))
    assert framed.is_blank
    assert not framed.pixels.any()


def test_noise_that_no_ink_stands_out_of_is_blank() -> None:
    assert frame(np.random.default_rng(0).normal(200, 4, (100, 100)).astype(np.uint8)).is_blank


@pytest.mark.parametrize("side", [37, 3, 20, 21, 320])
def test_a_single_line_is_never_lost(side: int) -> None:
    line = np.zeros((side, side), np.uint8)
    line[side // 2] = 255
    assert frame(line).pixels.max() == 255


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@example(1, 37, 38)  # a line lost by Pillow's box filter left nothing to centre
@settings(max_examples=60, deadline=None)
def test_any_picture_is_framed_or_blank(height: int, width: int, seed: int) -> None:
    framed = frame(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))
    assert framed.pixels.shape == (784,)
    assert framed.is_blank != framed.pixels.any()
