"""Every generator that needs no font: deterministic from its seed, and true to what it promises about digits."""

from collections.abc import Callable

import numpy as np
import pytest

from training.data.arrays import Floats, LabelledDigits
from training.synthetic.digit_debris import collage, cut, shuffled
from training.synthetic.drawing import Canvas, slanted
from training.synthetic.placing import raw, sheet
from training.synthetic.scribbles import SIGNS, scribble
from training.synthetic.shapes import shape
from training.synthetic.silhouettes import silhouette
from training.synthetic.textures import blank, noise, stripes, texture


def _rings_and_bars() -> LabelledDigits:
    """Twenty digits: a ring for 0, an upright bar for 1."""
    y, x = np.mgrid[0:28, 0:28]
    distance = np.hypot(y - 14, x - 14)
    ring = np.where((distance > 6) & (distance < 10), 255, 0)
    bar = np.where((abs(x - 14) < 2) & (abs(y - 14) < 10), 255, 0)
    pixels = np.stack([ring, bar] * 10).reshape(20, 784).astype(np.uint8)
    return LabelledDigits(pixels, np.array([0, 1] * 10))


DIGITS = _rings_and_bars()
KINDS: list[Callable[[np.random.Generator], Floats]] = [scribble, shape, silhouette, texture, noise, stripes, blank]


@pytest.mark.parametrize("draw", KINDS, ids=lambda draw: draw.__name__)
def test_the_same_seed_draws_the_same_picture_and_another_another(
    draw: Callable[[np.random.Generator], Floats],
) -> None:
    for seed in range(20):
        drawn, again = (draw(np.random.default_rng(seed)) for _ in range(2))
        assert drawn.dtype == np.float32
        assert np.array_equal(drawn, again)
        assert 0 <= drawn.min() <= drawn.max() <= 1
    assert len({draw(np.random.default_rng(seed)).tobytes() for seed in range(40)}) > 20


@pytest.mark.parametrize("draw", [scribble, shape, silhouette], ids=lambda draw: draw.__name__)
def test_ink_is_never_missing(draw: Callable[[np.random.Generator], Floats]) -> None:
    assert min(float(draw(np.random.default_rng(seed)).max()) for seed in range(60)) > 0.1


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_leaves_ink_with_the_thinnest_pen_and_the_thickest(sign: str) -> None:
    for pen in (0.015, 0.11):
        canvas = Canvas()
        SIGNS[sign](canvas, pen, np.random.default_rng(0))
        assert 20 < canvas.ink().sum() < 0.9 * 96 * 96


def test_cut_digits_keep_less_than_half_in_its_place_and_are_never_strokes() -> None:
    ring = DIGITS.pixels[0].reshape(28, 28) / 255
    for seed in range(30):
        piece = cut(DIGITS, np.random.default_rng(seed))
        assert 0 < piece.sum() < 0.6 * ring.sum()  # less than half of the height or width; 1s cannot be cut
        assert np.all(piece <= ring + 1e-6)


def test_shuffled_digits_have_all_their_ink_and_another_picture() -> None:
    for seed in range(20):
        result = shuffled(DIGITS, np.random.default_rng(seed)) * 255
        assert result.sum() == pytest.approx(float(DIGITS.pixels[0].sum()))
        assert not np.array_equal(result.reshape(-1), DIGITS.pixels[0])


def test_collages_are_wider_than_one_digit() -> None:
    widths = [collage(DIGITS, np.random.default_rng(seed)).shape[1] for seed in range(30)]
    assert min(widths) >= 6  # two bars
    assert max(widths) > 30  # rings of 19 pixels and bars of 3


def test_turning_by_nothing_keeps_the_ink_and_a_quarter_turn_lays_it_down() -> None:
    bar = np.ones((40, 8), np.float32)
    assert slanted(bar, 0, 0).shape == pytest.approx((40, 8), abs=1)
    assert slanted(bar, 90, 0).shape == pytest.approx((8, 40), abs=1)
    assert slanted(bar, 5, 0.1).sum() == pytest.approx(320, rel=0.03)


def test_raw_pictures_hold_the_whole_ink_somewhere_in_the_field() -> None:
    tops = set()
    for seed in range(20):
        field = raw(np.ones((50, 25), np.float32), np.random.default_rng(seed)).reshape(28, 28)
        rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
        assert len(rows) == pytest.approx(2 * len(columns), abs=1)
        tops.add(int(rows[0]))
    assert len(tops) > 4


def test_sheets_have_ink_and_paper_and_room_for_ink_that_is_too_large() -> None:
    for seed in range(20):
        picture = sheet(np.ones((120, 60), np.float32), 96, np.random.default_rng(seed))
        assert picture.shape == (96, 96)
        assert int(picture.max()) - int(picture.min()) > 40
