import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.arrays import Floats, Labels
from training.evaluation.calibration import fit_temperature, novelty_threshold, shared_threshold, sigmoid, softmax


def _two_way(margin: float, right: int, wrong: int) -> tuple[Floats, Labels]:
    """Logits that prefer digit 0 over 1 by `margin` and exclude the others; labels 0 (`right` times) and 1."""
    logits = np.full((right + wrong, 10), -1e4, np.float32)
    logits[:, 0], logits[:, 1] = margin, 0
    return logits, np.array([0] * right + [1] * wrong)


@pytest.mark.parametrize("margin", [0.5, 3.0, 20.0])
def test_temperature_makes_confidence_equal_accuracy(margin: float) -> None:
    # Right 3 times of 4: calibrated is sigmoid(margin / T) = 3/4, so T = margin / ln 3.
    assert fit_temperature(*_two_way(margin, 3, 1)) == pytest.approx(margin / np.log(3), rel=1e-4)


def test_probabilities_sum_to_one_and_survive_huge_logits() -> None:
    probabilities = softmax(np.array([[3e4, 0, -3e4] + [0] * 7], np.float32), 1.0)
    assert probabilities.dtype == np.float32
    assert probabilities[0, 0] == 1
    assert probabilities.sum() == pytest.approx(1)


def test_temperature_flattens() -> None:
    logits = np.array([[2, 0] + [-1e4] * 8], np.float32)
    assert softmax(logits, 2.0)[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_novelty_of_extreme_logits_stays_a_number() -> None:
    assert sigmoid(np.array([-1000, 0, 1000], np.float32)).tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200), st.floats(0, 1))
def test_the_threshold_never_refuses_more_than_its_share(values: list[float], share: float) -> None:
    novelties = np.array(values, np.float32)
    assert np.mean(novelties > novelty_threshold(novelties, share)) <= share


def test_the_threshold_is_the_smallest_that_keeps_the_promise() -> None:
    novelties = np.arange(1000) / 1000
    assert novelty_threshold(novelties, 0.002) == 0.997  # refuses 0.998 and 0.999


def test_the_shared_threshold_spares_every_population() -> None:
    digits, others = np.linspace(0, 0.1, 1000, dtype=np.float32), np.linspace(0, 0.6, 100, dtype=np.float32)
    threshold = shared_threshold(digits, 0.002, [others], 0.02)
    assert np.mean(digits > threshold) <= 0.002
    assert np.mean(others > threshold) == pytest.approx(0.02)
    assert shared_threshold(digits, 0.002, [], 0.02) == novelty_threshold(digits, 0.002)
