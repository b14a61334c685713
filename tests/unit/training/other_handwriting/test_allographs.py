"""Rare forms of digits: what is drawn is what the label says, by its strokes and by its ink."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from training.data.arrays import CLASSES, NOT_A_DIGIT, Floats
from training.other_handwriting.allographs import (
    DRAWINGS,
    Strokes,
    allograph_pictures,
    angular,
    crossed_ring,
    european_one,
    form,
    slashed_zero,
)
from training.other_handwriting.pen import Pen

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def _ink(strokes: Strokes, width: float = 8) -> Floats:
    ink: Floats = np.max(
        [Pen(width).stroke(each * np.float32(0.75) + np.float32(0.12), np.random.default_rng(0)) for each in strokes],
        axis=0,
    )
    return ink


def _counters(strokes: Strokes) -> int:
    """Pieces of paper that the strokes enclose, but for specks."""
    labels, count = ndimage.label(_ink(strokes) < 0.5)
    return sum(int(np.count_nonzero(labels == number)) >= 12 for number in range(1, count + 1)) - 1


def _has_gaps(strokes: Strokes) -> bool:
    """All strokes end apart from one another."""
    return len(np.unique(np.concatenate(strokes).round(4), axis=0)) == 2 * len(strokes)


@given(generator=seeds, name=st.sampled_from(sorted(DRAWINGS)), number=st.integers(0, 99))
def test_every_form_fills_the_height_of_the_unit_square(generator: np.random.Generator, name: str, number: int) -> None:
    strokes, label = form(name, number, generator)
    points = np.concatenate(strokes)
    assert label in {NOT_A_DIGIT, *range(CLASSES)}
    assert points.min() >= -0.15
    assert points.max() <= 1.15
    assert 0.75 < np.ptp(points[:, 1]) < 1.1


@given(generator=seeds)
def test_a_european_one_has_a_flag_that_falls_more_steeply_than_the_bar_of_a_7(generator: np.random.Generator) -> None:
    *way, top, foot = european_one(generator)[0]
    across, down = way[0] - top
    angle, length = np.degrees(np.arctan2(-across, down)), np.hypot(across, down)
    assert 0.14 < length < 0.66
    assert 24 < angle < (56 if length > 0.4 else 76)
    assert np.hypot(*(foot - top)) > 0.9
    chord = np.array([-down, across]) / length  # of the flag, turned: it points up and to the left
    arches = [float((point - top) @ chord) / length for point in way]
    assert min(arches) > -0.02
    assert max(arches) < 0.27


def test_half_of_the_flags_are_arched() -> None:
    drawn = [european_one(np.random.default_rng(seed))[0] for seed in range(300)]
    assert np.mean([len(way) > 3 for way in drawn]) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("digit", "counters"), [*enumerate((1, 0, 0, 0, 0, 0, 1, 0, 2, 1))])
def test_an_angular_digit_without_gaps_encloses_what_its_kind_does(digit: int, counters: int) -> None:
    drawn = [angular(digit, np.random.default_rng(seed)) for seed in range(60)]
    without_gaps = [strokes for strokes in drawn if not _has_gaps(strokes)]
    assert {_counters(strokes) for strokes in without_gaps} == {counters}


def test_half_of_the_angular_digits_have_gaps_between_their_strokes_that_a_thin_pen_leaves_open() -> None:
    drawn = [angular(8, np.random.default_rng(seed)) for seed in range(300)]
    assert all(_counters(strokes) == (0 if _has_gaps(strokes) else 2) for strokes in drawn[:40])
    assert np.mean([_has_gaps(strokes) for strokes in drawn]) == pytest.approx(0.5, abs=0.1)


@given(generator=seeds)
def test_the_stroke_of_a_slashed_0_rises_and_that_of_a_crossed_ring_stands_and_is_longer(
    generator: np.random.Generator,
) -> None:
    ring, slash = slashed_zero(generator)
    across, down = slash[1] - slash[0]
    assert across > 0 > down
    assert np.ptp(ring[:, 1]) > np.ptp(ring[:, 0]) * 1.2
    ring, stem = crossed_ring(generator)
    assert np.ptp(stem[:, 1]) > 1.4 * np.ptp(ring[:, 1])
    assert abs(stem[1, 0] - stem[0, 0]) < 0.25


def test_pictures_carry_the_labels_of_their_forms_and_a_seed_draws_always_the_same() -> None:
    drawings = {"european 1": 3, "angular": 20, "slashed 0": 2, "crossed": 2}

    def drawn(seed: int) -> list[bytes]:
        pictures = list(allograph_pictures(drawings, np.random.default_rng(seed)))
        assert [label for _, label in pictures] == [1] * 3 + [*range(10)] * 2 + [0] * 2 + [NOT_A_DIGIT] * 2
        assert {(picture.shape, picture.dtype) for picture, _ in pictures} == {((96, 96), np.dtype(np.uint8))}
        return [picture.tobytes() for picture, _ in pictures]

    assert len(set(drawn(1))) == 27
    assert drawn(1) == drawn(1)
    assert not set(drawn(1)) & set(drawn(2))
