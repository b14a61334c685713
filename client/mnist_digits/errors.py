"""The errors that calls raise, without grpc's types."""

import grpc


class CallError(Exception):
    """A call failed, at the server or on the way to it.

    `code`: name of a gRPC status, "INVALID_ARGUMENT" or "UNAVAILABLE". `message`: what is wrong, in English.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ImageError(Exception):
    """One of many images has no prediction.

    `index`: its place in the source, from 0. `__cause__`: the reason, a CallError, OSError, ValueError or TypeError.
    """

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"image {index}: {cause}")
        self.index = index
        self.__cause__ = cause


def call_error(error: Exception) -> CallError:
    """Translates whatever an RPC raised; a CallError stays the object that it is."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, grpc.RpcError):
        return CallError(error.code().name, error.details() or "no details")
    return CallError("UNKNOWN", f"{type(error).__name__}: {error}")


def deadline_error() -> CallError:
    """Error of a call whose deadline passed while it waited for its RPC."""
    return CallError("DEADLINE_EXCEEDED", "the deadline of this call has passed")


def closed_error() -> CallError:
    """Error of every call that a closed client had or gets."""
    return CallError("CANCELLED", "the client is closed")
