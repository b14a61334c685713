"""Scores of readings: lines and digits matched by place, calibration, intervals."""

import math

import numpy as np
import pytest

from experiments.whole_numbers.pictures import KINDS, Line, Picture, make
from experiments.whole_numbers.scoring import (
    Reading,
    calibration_error,
    figures,
    intersection_over_union,
    score,
    wilson_interval,
)
from tests.support.whole_numbers import committed_handwriting, perfect, read_line

HANDWRITING = committed_handwriting()


def line(text: str, top: int) -> Line:
    return Line(text, np.array([[10 + 20 * place, top, 10, 20] for place in range(len(text))], np.int64))


def picture(*lines: Line) -> Picture:
    return Picture(np.zeros((200, 200), np.uint8), lines, np.zeros((0, 4), np.int64), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_that_is_the_truth_is_all_right_in_any_order_of_lines(kind: str) -> None:
    truth = make(kind, 1, "test", HANDWRITING)
    reading: Reading = {"lines": list(perfect(truth)["lines"])[::-1]}
    scored = score(truth, reading)
    assert scored.extra_lines == ()
    for each, true in zip(scored.lines, truth.lines, strict=True):
        assert each.is_found
        assert each.is_right
        assert each.right_digits == each.right_boxes == each.digits == len(true.text)


def test_a_wrong_digit_a_refused_one_and_a_poor_box_count_each_for_itself() -> None:
    truth = picture(line("123", 0))
    boxes = truth.lines[0].boxes.tolist()
    boxes[2][2] = 5  # half as wide: IoU 0.5
    read = read_line("173", boxes)
    read["digits"][0]["refused"] = True
    read["text"] = "73"
    (scored,) = score(truth, {"lines": [read]}).lines
    assert (scored.is_found, scored.is_right, scored.digits) == (True, False, 3)
    assert (scored.right_digits, scored.right_boxes) == (1, 2)


def test_one_box_around_two_digits_is_one_digit() -> None:
    truth = picture(line("11", 0))
    (scored,) = score(truth, {"lines": [read_line("1", [[10, 0, 30, 20]])]}).lines
    assert (scored.is_right, scored.right_digits, scored.right_boxes) == (False, 1, 0)


def test_a_line_that_is_split_is_found_once_and_leaves_an_extra_one() -> None:
    truth = picture(line("1234", 0), line("56", 100))
    boxes = truth.lines[0].boxes.tolist()
    scored = score(truth, {"lines": [read_line("12", boxes[:2], 0.7), read_line("34", boxes[2:], 0.6)]})
    assert [each.is_found for each in scored.lines] == [True, False]
    assert scored.lines[0].right_digits == 2
    assert len(scored.extra_lines) == 1


def test_an_empty_reading_and_a_line_without_digits_find_nothing() -> None:
    truth = picture(line("12", 0))
    assert score(truth, {"lines": []}).lines[0].is_found is False
    scored = score(truth, {"lines": [read_line("", [], 0.3)]})
    assert scored.lines[0].is_found is False
    assert scored.extra_lines == (0.3,)


def test_iou_of_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10]])
    others = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [2, 2, 5, 4]])
    assert intersection_over_union(boxes, others) == pytest.approx(np.array([[1, 1 / 3, 0, 0.2]]))
    assert intersection_over_union(boxes, np.zeros((0, 4))).shape == (1, 0)


def test_calibration_error_is_the_mean_gap_of_bins_of_equally_many() -> None:
    right = np.arange(100) % 10 < 7
    assert calibration_error(np.full(100, 0.7), right) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.9), right) == pytest.approx(0.2)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.array([1.0, 0.0]), np.array([False, True])) == 1
    assert math.isnan(calibration_error(np.zeros(0), np.zeros(0, np.bool_)))


def test_interval_holds_the_share_and_narrows() -> None:
    low, high = wilson_interval(90, 100)
    assert (low, high) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1
    assert wilson_interval(900, 1000)[0] > low


def test_figures_count_lines_of_all_pictures() -> None:
    truth = picture(line("12", 0), line("345", 100))
    wrong = perfect(truth, probability=0.5)
    wrong["lines"][1]["text"] = "346"
    refused = perfect(truth, probability=0.5)
    refused["lines"][0]["text"] = "1"
    refused["lines"][0]["refused"] = True
    empty: Reading = {"lines": []}
    measured = figures([score(truth, each) for each in (wrong, refused, empty)], [1, 30, 2])
    assert measured.lines == 6
    assert measured.right_lines == pytest.approx(2 / 6)
    assert measured.silently_wrong == pytest.approx(1 / 6)
    assert measured.refused == pytest.approx(1 / 6)
    assert measured.lost == pytest.approx(2 / 6)
    assert measured.right_digits == measured.right_boxes == pytest.approx(10 / 15)
    assert measured.milliseconds == 2


def test_extra_lines_count_against_the_calibration() -> None:
    truth = picture(line("12", 0))
    reading = perfect(truth, probability=1)
    extra: Reading = {"lines": [*reading["lines"], read_line("7", [[150, 150, 10, 10]], 1)]}
    assert figures([score(truth, reading)], [1]).calibration_error == 0
    measured = figures([score(truth, extra)], [1])
    assert measured.calibration_error == pytest.approx(0.5)
    assert measured.extra_lines == 1
