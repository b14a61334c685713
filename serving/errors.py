"""What can go wrong, in the words of the domain. Nothing here knows gRPC or HTTP."""


class DigitServiceError(Exception):
    """Base of every error whose message is meant for the caller."""


class InvalidRequestError(DigitServiceError):
    """The caller sent something that no retry will make right."""


class UnknownModelError(DigitServiceError):
    """The caller asked for a model that is not served."""

    def __init__(self, asked: str, served: str) -> None:
        super().__init__(f"model {asked} is not served; {served} is")


class UnknownVersionError(DigitServiceError):
    """The caller asked for a model version that is not served."""

    def __init__(self, asked: int | str, served: int) -> None:
        any_version = "0" if isinstance(asked, int) else "an empty one"
        super().__init__(
            f"model version {asked} is not served; version {served} is ({any_version} asks for whichever is served)"
        )


class OverloadedError(DigitServiceError):
    """The server holds as many images as it may; the same request may succeed later."""

    def __init__(self, asked: int, held: int, capacity: int) -> None:
        super().__init__(
            f"the server is full: it holds {held} of at most {capacity} images and was asked for {asked} more; "
            "try again with backoff"
        )


class NotReadyError(DigitServiceError):
    """No model is ready yet, or the server is shutting down; another server may answer."""


class ExpiredError(DigitServiceError):
    """The caller's deadline passed before inference began."""

    def __init__(self) -> None:
        super().__init__("the deadline passed while the request was queued")


class ModelRejectedError(Exception):
    """A model version failed a check and is not served; the message says which and what to do."""


class DeviceUnavailableError(Exception):
    """The device asked for cannot run the model here; the message says why and what to do."""


class WorkerDiedError(Exception):
    """A worker process ended before it could say why; its log lines stand above."""


class ConfigError(Exception):
    """A setting has a value that cannot be used; the message names the setting."""
