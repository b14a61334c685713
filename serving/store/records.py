"""What the store keeps: images with their answers, their names and the truth about them."""

from dataclasses import dataclass

NO_DIGIT = -1  # the truth of a picture that holds no digit
FEEDBACK, REFUSED, UNSURE = "feedback", "refused", "unsure"
REASONS = (FEEDBACK, REFUSED, UNSURE)  # for which a picture is kept


@dataclass(frozen=True, slots=True)
class Answered:
    """One image and its answer. `pixels`: 784 bytes. `time`: of the answer, seconds since the epoch."""

    time: float
    version: int
    digit: int
    probability: float  # of `digit`
    novelty: float
    refusal: int  # serving.predictions.Refusal
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Name:
    """What names one image: its caller's key (empty: none), the request's id, and the index in the request."""

    caller: str
    request_id: str
    index: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the store. `truth`: 0 to 9, NO_DIGIT, or None where nobody has given it."""

    id: int
    name: Name
    reason: str
    answered: Answered
    truth: int | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds. `bytes`: of its files together."""

    pictures: int
    labelled: int
    oldest: float | None  # seconds since the epoch
    bytes: int
