"""Feedback on answers: the request, and what it refuses before it is sent."""

from mnist_digits import proto
from mnist_digits.reading import Glyph, Line
from mnist_digits.results import Prediction

Answer = Prediction | Glyph | Line


def feedback_request(answer: Answer | str, truth: int | str | None, index: int) -> bytes:
    """Serializes a FeedbackRequest. `truth`: 0 to 9, None for no digit, or the digits of a line, as text.

    Raises ValueError for an answer without an id, for a truth or index that is none, and for a truth of the other kind
    than the answer; TypeError for other types.
    """
    if not isinstance(answer, str) and isinstance(answer, Line) is not isinstance(truth, str):
        raise ValueError(f"a line's truth is a text of its digits, and of no other answer; got {truth!r}")
    if isinstance(answer, str):
        request_id = answer
    elif answer.request_id:
        request_id, index = answer.request_id, answer.index
    else:
        raise ValueError("this answer has no request id: the server takes no feedback")
    request = proto.FeedbackRequest(request_id=request_id, index=index)
    if truth is None:
        request.no_digit = True
    elif isinstance(truth, str):
        if not (truth.isascii() and truth.isdecimal()):
            raise ValueError(f"the text of a line is its digits and nothing else; got {truth!r}")
        request.text = truth
    elif isinstance(truth, bool) or not 0 <= truth <= 9:
        raise ValueError(f"the digit is 0 to 9, or None for no digit; got {truth!r}")
    else:
        request.digit = truth
    return request.SerializeToString()
