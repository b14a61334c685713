"""Errors of the service in domain terms, without gRPC or HTTP: serving.api.status maps them to status codes."""

from collections.abc import Sequence

# Characters of a reason. With its signs escaped in a gRPC status, 12 bytes each at most, it fits the 8 KiB that gRPC
# allows.
MOST_SHOWN = 600


def shown(text: str) -> str:
    """Returns a text that may hold what others wrote as one line of at most MOST_SHOWN printable characters.

    All else is escaped: a line break would forge a line of the log, and a lone surrogate fits no protobuf message.
    """
    clipped = text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
    if clipped.isprintable():
        return clipped
    signs = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in clipped)
    return "".join(signs)[:MOST_SHOWN]


class DigitServiceError(Exception):
    """Base of the errors whose message may be sent to the caller. Messages of all others stay in the log."""

    retry_after_seconds: float | None = None  # after which the same request may succeed; None: unknown


class InvalidRequestError(DigitServiceError):
    """Request that is wrong in itself: no retry makes it right."""


class UnknownModelError(DigitServiceError):
    """Request for a model that is not served."""

    def __init__(self, requested: str, served: str) -> None:
        super().__init__(f"model {requested} is not served; {served} is")


class UnknownVersionError(DigitServiceError):
    """Request for a model version that is not served."""

    def __init__(self, requested: int | str, served: Sequence[int]) -> None:
        any_version = "0" if isinstance(requested, int) else "an empty one"  # the default in each of the two protocols
        versions = " and ".join(map(str, served))
        super().__init__(
            f"model version {requested} is not served; version {versions} is "
            f"({any_version} selects the highest of them)"
        )


class OverloadedError(DigitServiceError):
    """Refusal by admission control: the server holds as many images as it may, in all or of this client."""

    def __init__(self, requested: int, held: int, capacity: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"the server is full: it holds {held} of at most {capacity} images and was asked for {requested} more; "
            "try again with backoff"
        )
        self.retry_after_seconds = retry_after_seconds


class ExplanationsFullError(DigitServiceError):
    """Refusal of an explanation: as many requests run or wait as may, in all or of this client."""

    def __init__(self, capacity: int, retry_after_seconds: float) -> None:
        super().__init__(f"at most {capacity} explanations are made or wait here at once; try again with backoff")
        self.retry_after_seconds = retry_after_seconds


class DecodersFullError(DigitServiceError):
    """Refusal of pictures: as much work of decoding waits as may, in all or of this client."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("too many pictures, or too large ones, wait here to be decoded; try again with backoff")
        self.retry_after_seconds = retry_after_seconds


class TooLateError(DigitServiceError):
    """Refusal by deadline: given what waits, images and pictures, the response would come too late."""

    def __init__(self, expected_seconds: float, remaining_seconds: float) -> None:
        super().__init__(
            f"the server is busy: the answer would take {expected_seconds * 1000:.0f} ms and the deadline leaves "
            f"{remaining_seconds * 1000:.0f} ms; try again with backoff, or with a longer deadline"
        )
        self.retry_after_seconds = expected_seconds


class VersionRefusedError(DigitServiceError):
    """Outcome of a reload: a version that should be served failed a check. What was served before still is."""


class NotSupportedError(DigitServiceError):
    """Request for what other servers of a protocol do and this one does not."""


class NotExplainableError(DigitServiceError):
    """Request to explain a version whose graph does not consist of layers that can be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))  # it may name parts of the graph


class RateLimitedError(DigitServiceError):
    """Refusal by rate limit: the caller's key is ahead of its images per second."""

    def __init__(self, name: str, images_per_second: float, retry_after_seconds: float) -> None:
        super().__init__(
            f"key {name} may ask for {images_per_second:g} images a second and is ahead of that; try again in "
            f"{retry_after_seconds:.1f} s"
        )
        self.retry_after_seconds = retry_after_seconds


class UnauthenticatedError(DigitServiceError):
    """Request without an API key, or with an unknown one."""


class ForbiddenError(DigitServiceError):
    """Request whose caller is known and lacks the scope for it."""


class UnknownRequestError(DigitServiceError):
    """Feedback on an image or a line that this caller did not send, or that is no longer held."""

    def __init__(self, request_id: str, index: int, what: str = "image") -> None:
        super().__init__(
            f"{what} {index} of request {request_id} is not held: feedback is taken on recent requests of the same "
            "key, with the x-request-id of their response"
        )


class FeedbackFullError(DigitServiceError):
    """Refusal of feedback: as much waits to be written as may, in all or of this client."""

    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("too much feedback waits here to be written; try again with backoff")


class StoreUnavailableError(DigitServiceError):
    """Feedback that could not be written. The reason, which may name files, is in the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"feedback cannot be kept now ({reason}); the server's log has the details")


class NotReadyError(DigitServiceError):
    """Request before a model is ready or during shutdown. Another server may answer it."""


class ExpiredError(DigitServiceError):
    """Request whose deadline passed while it waited, for decoding or for inference."""

    def __init__(self) -> None:
        super().__init__("the deadline passed while the request was queued")


class ModelRejectedError(Exception):
    """Model version that failed a check and is not served. The message gives the reason."""

    def __init__(self, message: str, check: str = "missing") -> None:
        """`check`: one of models.repository.CHECKS, the label in metrics."""
        super().__init__(shown(message))  # it may name files, and what stands in them
        self.check = check


class DeviceUnavailableError(Exception):
    """Requested device that cannot run the model here. The message gives the reason and the remedy."""


class WorkerDiedError(Exception):
    """Worker process that ended before it could report an error. Its own log lines have the reason."""


class ConfigError(Exception):
    """Setting with a value that cannot be used. The message names the setting."""
