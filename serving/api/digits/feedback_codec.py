"""Feedback's messages from and to bytes and JSON."""

from typing import Any

from protos.mnist.v1 import digits_pb2
from serving.api.request_ids import is_id
from serving.api.wire_format import parse_message
from serving.core.feedback import LONGEST_TEXT, AnsweredLine, LineTruth, Truth
from serving.errors import InvalidRequestError
from serving.predictions import DIGITS
from serving.store.records import NO_DIGIT, Answered


def parse_feedback(request: bytes) -> Truth | LineTruth:
    """Reads a FeedbackRequest. Raises InvalidRequestError, with the one thing to change."""
    message = parse_message(digits_pb2.FeedbackRequest, request)
    truth = message.WhichOneof("truth")
    if truth is None or (truth == "no_digit" and not message.no_digit):
        raise InvalidRequestError("no truth: set `digit`, 0 to 9, `no_digit` to true, or the `text` of a line")
    if truth == "text":
        return _checked_line(message.request_id, message.index, message.text)
    return _checked(message.request_id, message.index, message.digit if truth == "digit" else None)


def feedback_of_json(document: Any) -> Truth | LineTruth:
    """Reads the object of a body in JSON. Raises InvalidRequestError, with the one thing to change."""
    if not isinstance(document, dict) or not set(document) <= {"request_id", "index", "digit", "no_digit", "text"}:
        raise InvalidRequestError("expected a JSON object of request_id, index, and digit, no_digit or text, no others")
    digit, is_none, text = document.get("digit"), document.get("no_digit", False), document.get("text")
    if not isinstance(is_none, bool) or [digit is not None, is_none, text is not None].count(True) != 1:
        raise InvalidRequestError("expected one of `digit`, 0 to 9, `no_digit`: true, and the `text` of a line")
    request_id, index = document.get("request_id"), document.get("index", 0)
    return _checked(request_id, index, digit) if text is None else _checked_line(request_id, index, text)


def _checked(request_id: object, index: object, digit: object) -> Truth:
    """Returns feedback whose values are possible ones. `digit`: None: no digit. Raises InvalidRequestError."""
    request_id, index = _checked_name(request_id, index)
    if digit is None:
        return Truth(request_id, index, NO_DIGIT)
    if type(digit) is not int or not 0 <= digit < DIGITS:  # not isinstance(): true and false are int, too
        raise InvalidRequestError(f"digit: expected 0 to {DIGITS - 1}")
    return Truth(request_id, index, digit)


def _checked_line(request_id: object, index: object, text: object) -> LineTruth:
    """Returns feedback on a line whose values are possible ones. Raises InvalidRequestError."""
    request_id, index = _checked_name(request_id, index)
    # ASCII: other scripts have digits too, and int() takes them.
    if not isinstance(text, str) or not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_TEXT):
        raise InvalidRequestError(
            f"text: expected the digits of a line, 1 to {LONGEST_TEXT} of 0 to 9 and nothing else"
        )
    return LineTruth(request_id, index, text)


def _checked_name(request_id: object, index: object) -> tuple[str, int]:
    if not isinstance(request_id, str) or not is_id(request_id):
        raise InvalidRequestError("request_id: expected the x-request-id of the response that feedback is given on")
    if type(index) is not int or not 0 <= index < 2**31:
        raise InvalidRequestError("index: expected the index of an image in its request, of a sign or a line, from 0")
    return request_id, index


def feedback_bytes(answered: Answered | AnsweredLine) -> bytes:
    """Returns the serialised FeedbackResponse."""
    if isinstance(answered, AnsweredLine):
        return digits_pb2.FeedbackResponse(text=answered.text, model_version=answered.version).SerializeToString()
    return digits_pb2.FeedbackResponse(
        digit=answered.digit, refused=bool(answered.refusal), model_version=answered.version
    ).SerializeToString()


def feedback_document(answered: Answered | AnsweredLine) -> dict[str, Any]:
    """Returns the fields of a FeedbackResponse as JSON has them."""
    if isinstance(answered, AnsweredLine):
        return {"text": answered.text, "model_version": answered.version}
    return {"digit": answered.digit, "refused": bool(answered.refusal), "model_version": answered.version}
