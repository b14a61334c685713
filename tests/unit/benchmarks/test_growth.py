"""Growth is told from noise."""

import random

import pytest

from benchmarks.growth import growth


def test_the_slope_of_a_line_is_found_exactly() -> None:
    found = growth([0, 0.5, 1, 1.5], [100, 105, 110, 115])
    assert found.slope == pytest.approx(10)
    assert found.uncertainty == pytest.approx(0, abs=1e-9)
    assert found.verdict(allowed=1) == "it grows"


def test_noise_around_a_level_is_no_growth() -> None:
    chance = random.Random(1)
    hours = [minute / 60 for minute in range(600)]
    found = growth(hours, [100 + chance.gauss(0, 0.5) for _ in hours])
    assert abs(found.slope) < 0.1
    assert found.verdict(allowed=1) == "it does not grow"


def test_a_few_noisy_samples_decide_nothing() -> None:
    assert growth([0, 0.01, 0.02], [100, 103, 99]).verdict(allowed=1) == "undecided: measure longer"


def test_two_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        growth([0, 1], [1, 2])
