"""What can go wrong, in the words of the domain. Nothing here knows gRPC or HTTP."""

from collections.abc import Sequence


class DigitServiceError(Exception):
    """Base of every error whose message is meant for the caller."""

    retry_after_seconds: float | None = None  # when the same request may succeed; None where nobody knows


class InvalidRequestError(DigitServiceError):
    """The caller sent something that no retry will make right."""


class UnknownModelError(DigitServiceError):
    """The caller asked for a model that is not served."""

    def __init__(self, requested: str, served: str) -> None:
        super().__init__(f"model {requested} is not served; {served} is")


class UnknownVersionError(DigitServiceError):
    """The caller asked for a model version that is not served."""

    def __init__(self, requested: int | str, served: Sequence[int]) -> None:
        any_version = "0" if isinstance(requested, int) else "an empty one"
        versions = " and ".join(map(str, served))
        super().__init__(
            f"model version {requested} is not served; version {versions} is "
            f"({any_version} asks for whichever is served)"
        )


class OverloadedError(DigitServiceError):
    """The server holds as many images as it may, in all or of this client's."""

    def __init__(self, requested: int, held: int, capacity: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"the server is full: it holds {held} of at most {capacity} images and was asked for {requested} more; "
            "try again with backoff"
        )
        self.retry_after_seconds = retry_after_seconds


class ExplanationsFullError(DigitServiceError):
    """As many wait for explanations as may, in all or of this client."""

    def __init__(self, capacity: int, retry_after_seconds: float) -> None:
        super().__init__(f"at most {capacity} explanations are made or wait here at once; try again with backoff")
        self.retry_after_seconds = retry_after_seconds


class TooLateError(DigitServiceError):
    """The answer would come after the caller's deadline, as much as waits before it."""

    def __init__(self, expected_seconds: float, remaining_seconds: float) -> None:
        super().__init__(
            f"the server is busy: the answer would take {expected_seconds * 1000:.0f} ms and the deadline leaves "
            f"{remaining_seconds * 1000:.0f} ms; try again with backoff, or with a longer deadline"
        )
        self.retry_after_seconds = expected_seconds


class VersionRefusedError(DigitServiceError):
    """A version in the repository that should be served did not pass a check; what was served still is."""


class NotExplainableError(DigitServiceError):
    """The version that answers is not made of layers that can be shown."""


class RateLimitedError(DigitServiceError):
    """The caller's key has used what it may for now."""

    def __init__(self, name: str, images_per_second: float, retry_after_seconds: float) -> None:
        super().__init__(
            f"key {name} may ask for {images_per_second:g} images a second and is ahead of that; try again in "
            f"{retry_after_seconds:.1f} s"
        )
        self.retry_after_seconds = retry_after_seconds


class UnauthenticatedError(DigitServiceError):
    """The caller showed no key, or none that is known."""


class ForbiddenError(DigitServiceError):
    """The caller is known, and may not do this."""


class NotReadyError(DigitServiceError):
    """No model is ready yet, or the server is shutting down; another server may answer."""


class ExpiredError(DigitServiceError):
    """The caller's deadline passed before inference began."""

    def __init__(self) -> None:
        super().__init__("the deadline passed while the request was queued")


class ModelRejectedError(Exception):
    """A model version failed a check and is not served; the message says why, `check` which in a word."""

    def __init__(self, message: str, check: str = "missing") -> None:
        super().__init__(message)
        self.check = check


class DeviceUnavailableError(Exception):
    """The device asked for cannot run the model here; the message says why and what to do."""


class WorkerDiedError(Exception):
    """A worker process ended before it could say why; its log lines stand above."""


class ConfigError(Exception):
    """A setting has a value that cannot be used; the message names the setting."""
