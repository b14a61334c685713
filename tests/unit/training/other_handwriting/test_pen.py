"""Strokes: where ink is, and what width, pressure and softness do to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.arrays import Floats
from training.other_handwriting.pen import SIDE, Pen, curved

WAYS = st.lists(st.tuples(*[st.floats(0.25, 0.75, width=32)] * 2), min_size=2, max_size=9).map(
    lambda points: np.array(points, np.float32)
)
WIDTHS = st.floats(6, 30)
PIXELS_OF_280 = SIDE / 280


def _drawn(pen: Pen, way: Floats, seed: int = 0) -> Floats:
    return pen.stroke(way, np.random.default_rng(seed))


@given(way=WAYS, width=WIDTHS)
def test_a_hard_stroke_is_what_lies_within_half_its_width_of_the_way(way: Floats, width: float) -> None:
    ink = _drawn(Pen(width), way)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    share = np.linspace(0, 1, 60)[:, None, None]
    distance = np.full((SIDE, SIDE), np.inf)
    for (x, y), (to_x, to_y) in zip(way[:-1] * SIDE, way[1:] * SIDE, strict=True):
        along = np.hypot(columns - (x + share * (to_x - x)), rows - (y + share * (to_y - y)))
        distance = np.minimum(distance, along.min(axis=0))
    radius = width / 2 * PIXELS_OF_280
    assert set(np.unique(ink)) <= {0.0, 1.0}
    assert (ink[distance < radius - 0.15] == 1).all()  # joints and ends are round: every point of the way has its disc
    assert (ink[distance > radius + 0.15] == 0).all()


@given(way=WAYS, widths=st.tuples(WIDTHS, WIDTHS), softness=st.floats(0, 9))
def test_a_wider_pen_covers_what_a_thinner_one_does(way: Floats, widths: tuple[float, float], softness: float) -> None:
    thin, wide = (_drawn(Pen(width, softness=softness), way) for width in sorted(widths))
    assert (wide >= thin - 1e-6).all()


@given(way=WAYS, width=WIDTHS, softness=st.floats(2, 9))
def test_a_soft_edge_fades_around_the_hard_one(way: Floats, width: float, softness: float) -> None:
    soft, hard = _drawn(Pen(width, softness=softness), way), _drawn(Pen(width), way)
    assert (soft[hard == 1] >= 0.5).all()
    assert (soft[hard == 0] <= 0.5).all()
    assert ((soft > 0) & (soft < 1)).any()


def test_pressure_makes_a_stroke_wider_and_thinner_on_its_way() -> None:
    across = np.array([[0.1, 0.5], [0.3, 0.5], [0.5, 0.5], [0.7, 0.5], [0.9, 0.5]], np.float32)
    widths = [_drawn(Pen(30, pressure=0.4), across, seed)[:, 15:81].sum(axis=0) for seed in range(10)]
    assert np.ptp(_drawn(Pen(30), across)[:, 15:81].sum(axis=0)) == 0
    assert min(np.ptp(each) for each in widths) >= 1
    assert 0.5 * 30 * PIXELS_OF_280 < np.min(widths) < np.max(widths) < 1.6 * 30 * PIXELS_OF_280


@given(way=WAYS)
def test_a_curve_goes_through_all_points_and_begins_and_ends_with_them(way: Floats) -> None:
    smooth = curved(way)
    np.testing.assert_allclose(smooth[::4], way, atol=1e-6)
    assert len(smooth) == 4 * len(way) - 3


@given(width=WIDTHS, softness=st.floats(0, 9))
def test_tracing_keeps_the_ink_and_thickens_it_to_the_pens_width(width: float, softness: float) -> None:
    ink = np.zeros((280, 280), np.float32)
    ink[50:230, 137:143] = 1
    traced = Pen(width, softness=softness).traced(ink, 6)
    assert (traced[ink > 0] >= 0.5).all()
    assert (traced[140] >= 0.5).sum() == pytest.approx(width, abs=2)


def test_random_pens_are_thin_and_thick_even_and_pressed_soft_and_hard() -> None:
    pens = [Pen.random(np.random.default_rng(seed)) for seed in range(300)]
    widths = [pen.width for pen in pens]
    assert 6 <= min(widths) < 8
    assert 28 < max(widths) <= 30
    assert np.mean([pen.pressure > 0 for pen in pens]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([pen.softness == 0 for pen in pens]) == pytest.approx(0.25, abs=0.1)
