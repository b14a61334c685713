"""Feedback's messages from and to bytes and JSON."""

from typing import Any

from protos.mnist.v1 import digits_pb2
from serving.api.request_ids import is_id
from serving.api.wire_format import parse_message
from serving.core.feedback import Truth
from serving.errors import InvalidRequestError
from serving.predictions import DIGITS
from serving.store.records import NO_DIGIT, Answered


def parse_feedback(request: bytes) -> Truth:
    """Reads a FeedbackRequest. Raises InvalidRequestError, with the one thing to change."""
    message = parse_message(digits_pb2.FeedbackRequest, request)
    truth = message.WhichOneof("truth")
    if truth is None or (truth == "no_digit" and not message.no_digit):
        raise InvalidRequestError("no truth: set `digit`, 0 to 9, or `no_digit` to true")
    return _checked(message.request_id, message.index, message.digit if truth == "digit" else None)


def feedback_of_json(document: Any) -> Truth:
    """Reads the object of a body in JSON. Raises InvalidRequestError, with the one thing to change."""
    if not isinstance(document, dict) or not set(document) <= {"request_id", "index", "digit", "no_digit"}:
        raise InvalidRequestError("expected a JSON object of request_id, index, and digit or no_digit, and no others")
    digit, is_none = document.get("digit"), document.get("no_digit", False)
    if not isinstance(is_none, bool) or (digit is None) is not is_none:
        raise InvalidRequestError("expected either `digit`, 0 to 9, or `no_digit`: true")
    return _checked(document.get("request_id"), document.get("index", 0), digit)


def _checked(request_id: object, index: object, digit: object) -> Truth:
    """Returns feedback whose values are possible ones. `digit`: None: no digit. Raises InvalidRequestError."""
    if not isinstance(request_id, str) or not is_id(request_id):
        raise InvalidRequestError("request_id: expected the x-request-id of the response that feedback is given on")
    if type(index) is not int or not 0 <= index < 2**31:  # not isinstance(): true and false are int, too
        raise InvalidRequestError("index: expected the index of an image in its request, from 0")
    if digit is None:
        return Truth(request_id, index, NO_DIGIT)
    if type(digit) is not int or not 0 <= digit < DIGITS:
        raise InvalidRequestError(f"digit: expected 0 to {DIGITS - 1}")
    return Truth(request_id, index, digit)


def feedback_bytes(answered: Answered) -> bytes:
    """Returns the serialised FeedbackResponse."""
    return digits_pb2.FeedbackResponse(
        digit=answered.digit, refused=bool(answered.refusal), model_version=answered.version
    ).SerializeToString()


def feedback_document(answered: Answered) -> dict[str, Any]:
    """Returns the fields of a FeedbackResponse as JSON has them."""
    return {"digit": answered.digit, "refused": bool(answered.refusal), "model_version": answered.version}
