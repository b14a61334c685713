"""Feedback on predictions: the request, and what it refuses before it is sent."""

from mnist_digits import proto
from mnist_digits.results import Prediction


def feedback_request(image: Prediction | str, digit: int | None, index: int) -> bytes:
    """Serializes a FeedbackRequest. `digit`: 0 to 9, or None for no digit.

    Raises ValueError for a prediction without an id, and for a digit or index that is none; TypeError for other types.
    """
    if not isinstance(image, Prediction):
        request_id = image
    elif image.request_id:
        request_id, index = image.request_id, image.index
    else:
        raise ValueError("this prediction has no request id: the server takes no feedback")
    request = proto.FeedbackRequest(request_id=request_id, index=index)
    if digit is None:
        request.no_digit = True
    elif isinstance(digit, bool) or not 0 <= digit <= 9:
        raise ValueError(f"the digit is 0 to 9, or None for no digit; got {digit!r}")
    else:
        request.digit = digit
    return request.SerializeToString()
