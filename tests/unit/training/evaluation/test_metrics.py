"""Every figure against a value worked out by hand."""

import numpy as np
import pytest

from training.data.arrays import Floats
from training.evaluation import metrics


def _answers(*rows: dict[int, float]) -> Floats:
    """Probabilities by digit, the rest 0."""
    probabilities = np.zeros((len(rows), 10), np.float32)
    for row, shares in enumerate(rows):
        for digit, share in shares.items():
            probabilities[row, digit] = share
    return probabilities


# The largest probabilities are 0.75, 0.5 and 1; the answers 3, 1 and 4; the last one is wrong.
ANSWERS = _answers({3: 0.75, 8: 0.25}, {1: 0.5, 7: 0.25, 2: 0.25}, {4: 1.0})
LABELS = np.array([3, 1, 9])


def test_accuracy_is_the_share_of_right_predictions() -> None:
    assert metrics.accuracy(ANSWERS, LABELS) == pytest.approx(2 / 3)


def test_accuracy_per_digit_is_the_recall_of_each() -> None:
    per_digit = metrics.accuracy_per_digit(ANSWERS, LABELS)
    assert per_digit[3] == 1
    assert per_digit[1] == 1
    assert per_digit[9] == 0
    assert np.isnan(per_digit[0])


def test_likelihood_is_that_of_the_label() -> None:
    likely = metrics.negative_log_likelihood(ANSWERS[:2], LABELS[:2])
    assert likely == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2)


def test_an_impossible_label_costs_much_but_not_infinity() -> None:
    assert metrics.negative_log_likelihood(ANSWERS[2:], LABELS[2:]) == pytest.approx(-np.log(1e-12))


def test_brier_score_sums_squares_over_all_ten_digits() -> None:
    first, second, third = 0.25**2 + 0.25**2, 0.5**2 + 0.25**2 + 0.25**2, 1.0 + 1.0
    assert metrics.brier_score(ANSWERS, LABELS) == pytest.approx((first + second + third) / 3)


def test_calibration_error_weighs_each_bin_by_its_predictions() -> None:
    # Two bins: (0, 0.5] holds 0.5 (right), (0.5, 1] holds 0.75 (right) and 1 (wrong).
    result = metrics.calibration(ANSWERS, LABELS, bins=2)
    assert result.counts.tolist() == [1, 2]
    assert result.mean_confidence.tolist() == [0.5, 0.875]
    assert result.mean_accuracy.tolist() == [1, 0.5]
    assert result.expected_error == pytest.approx(1 / 3 * 0.5 + 2 / 3 * 0.375)


def test_full_confidence_falls_into_the_last_bin() -> None:
    assert metrics.calibration(ANSWERS[2:], LABELS[2:]).counts.tolist() == [0] * 14 + [1]


def test_predictions_as_sure_as_right_have_no_calibration_error() -> None:
    answers = _answers(*[{0: 0.75, 1: 0.25}] * 4)
    assert metrics.calibration(answers, np.array([0, 0, 0, 1])).expected_error == pytest.approx(0)


def test_the_interval_is_repeatable_and_holds_the_error_of_a_large_sample() -> None:
    generator = np.random.default_rng(0)
    answers = _answers(*[{0: 0.7, 1: 0.3}] * 500)
    labels = (generator.random(500) < 0.5).astype(np.int64)
    low, high = metrics.calibration_error_interval(answers, labels)
    assert (low, high) == metrics.calibration_error_interval(answers, labels)
    assert low < metrics.calibration(answers, labels).expected_error < high
    assert 0.05 < high - low < 0.12  # about 4 sigma of a mean of 500: 4 * 0.5 / sqrt(500) = 0.09


def test_confusion_rows_are_labels_and_columns_predictions() -> None:
    matrix = metrics.confusion_matrix(ANSWERS, LABELS)
    assert matrix[9, 4] == 1
    assert matrix[3, 3] == matrix[1, 1] == 1
    assert matrix.sum() == 3


def test_there_are_fifteen_known_wrong_labels() -> None:
    assert len(set(metrics.KNOWN_WRONG_TEST_LABELS)) == 15
