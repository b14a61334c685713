"""Requests with feedback: what they say of predictions, digits and lines, and what is not sent."""

from typing import Any

import pytest

from mnist_digits import Glyph, Line, Prediction, proto
from mnist_digits.feedback import Answer, feedback_request

PREDICTION = Prediction(3, 1.0, (), 0.0, False, None, request_id="p", index=2)
GLYPH = Glyph(3, 1.0, (), 0.0, False, (0, 0, 1, 1), request_id="r", index=4)
LINE = Line("31", 1.0, False, (GLYPH,), request_id="r", index=1)


@pytest.mark.parametrize(
    ("answer", "truth", "index", "fields"),
    [
        (PREDICTION, 8, 0, {"request_id": "p", "index": 2, "digit": 8}),
        (PREDICTION, None, 7, {"request_id": "p", "index": 2, "no_digit": True}),
        (GLYPH, 0, 0, {"request_id": "r", "index": 4, "digit": 0}),
        (GLYPH, None, 0, {"request_id": "r", "index": 4, "no_digit": True}),
        (LINE, "37", 0, {"request_id": "r", "index": 1, "text": "37"}),
        ("id", 8, 3, {"request_id": "id", "index": 3, "digit": 8}),
        ("id", None, 3, {"request_id": "id", "index": 3, "no_digit": True}),
        ("id", "007", 3, {"request_id": "id", "index": 3, "text": "007"}),
    ],
)
def test_feedback_names_what_it_is_about(answer: Answer | str, truth: Any, index: int, fields: dict[str, Any]) -> None:
    assert proto.FeedbackRequest.FromString(feedback_request(answer, truth, index)) == proto.FeedbackRequest(**fields)


@pytest.mark.parametrize(
    ("answer", "truth", "message"),
    [
        (PREDICTION, "3", "a line's truth"),
        (GLYPH, "3", "a line's truth"),
        (LINE, 3, "a line's truth"),
        (LINE, None, "a line's truth"),
        (LINE, "", "its digits and nothing else"),
        (LINE, "3 1", "its digits and nothing else"),
        ("id", "3x", "its digits and nothing else"),
        ("id", "٣١", "its digits and nothing else"),
        (GLYPH, 10, "0 to 9"),
        (GLYPH, True, "0 to 9"),
        (Glyph(3, 1.0, (), 0.0, False, (0, 0, 1, 1)), 3, "takes no feedback"),
        (Line("31", 1.0, False, ()), "31", "takes no feedback"),
    ],
)
def test_what_is_no_feedback_is_not_sent(answer: Answer | str, truth: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feedback_request(answer, truth, 0)
