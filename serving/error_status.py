"""The one table from what went wrong to what the caller is told."""

from dataclasses import dataclass

import grpc

from serving.errors import (
    DigitServiceError,
    ExpiredError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    UnknownModelError,
    UnknownVersionError,
)


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """A gRPC status, its text, and the reason under which it is counted."""

    code: grpc.StatusCode
    message: str
    reason: str


_TABLE: dict[type[DigitServiceError], tuple[grpc.StatusCode, str]] = {
    InvalidRequestError: (grpc.StatusCode.INVALID_ARGUMENT, "invalid"),
    UnknownModelError: (grpc.StatusCode.NOT_FOUND, "unknown_model"),
    UnknownVersionError: (grpc.StatusCode.NOT_FOUND, "unknown_version"),
    OverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded"),
    NotReadyError: (grpc.StatusCode.UNAVAILABLE, "not_ready"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, "expired"),
}

INTERNAL_REASON = "internal"
REASONS = (*(reason for _, reason in _TABLE.values()), INTERNAL_REASON)


def error_status(error: Exception) -> ErrorStatus:
    """The status for `error`. What is not in the table is a fault of ours: its text stays inside."""
    if isinstance(error, DigitServiceError) and type(error) in _TABLE:
        code, reason = _TABLE[type(error)]
        return ErrorStatus(code, str(error), reason)
    return ErrorStatus(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details", INTERNAL_REASON)
