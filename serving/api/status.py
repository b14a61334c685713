"""Statuses of failed requests: the one table from the errors of serving.errors to gRPC codes and metric reasons."""

from dataclasses import dataclass

import grpc

from serving.errors import (
    DecodersFullError,
    DigitServiceError,
    ExpiredError,
    ExplanationsFullError,
    FeedbackFullError,
    ForbiddenError,
    InvalidRequestError,
    NotExplainableError,
    NotReadyError,
    NotSupportedError,
    OverloadedError,
    RateLimitedError,
    StoreUnavailableError,
    TooLateError,
    UnauthenticatedError,
    UnknownModelError,
    UnknownRequestError,
    UnknownVersionError,
    VersionRefusedError,
)


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """A gRPC status, its message, and the reason under which mnist_rejected_total counts it."""

    code: grpc.StatusCode
    message: str
    reason: str
    retry_after_seconds: float | None = None  # when a retry is worthwhile; None: unknown


_TABLE: dict[type[DigitServiceError], tuple[grpc.StatusCode, str]] = {
    InvalidRequestError: (grpc.StatusCode.INVALID_ARGUMENT, "invalid"),
    UnknownModelError: (grpc.StatusCode.NOT_FOUND, "unknown_model"),
    UnknownVersionError: (grpc.StatusCode.NOT_FOUND, "unknown_version"),
    UnknownRequestError: (grpc.StatusCode.NOT_FOUND, "unknown_request"),
    # Not UNAVAILABLE: KServe's and other clients retry that at once, which turns overload into a storm.
    OverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded"),
    ExplanationsFullError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "explanations_full"),
    DecodersFullError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "decoders_full"),
    FeedbackFullError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "feedback_full"),
    TooLateError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_late"),
    RateLimitedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited"),
    UnauthenticatedError: (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
    ForbiddenError: (grpc.StatusCode.PERMISSION_DENIED, "forbidden"),
    NotExplainableError: (grpc.StatusCode.FAILED_PRECONDITION, "not_explainable"),
    VersionRefusedError: (grpc.StatusCode.FAILED_PRECONDITION, "version_refused"),
    NotReadyError: (grpc.StatusCode.UNAVAILABLE, "not_ready"),
    StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, "store_unavailable"),
    NotSupportedError: (grpc.StatusCode.UNIMPLEMENTED, "not_supported"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, "expired"),
}

INTERNAL_REASON = "internal"
REASONS = (*(reason for _, reason in _TABLE.values()), INTERNAL_REASON)


def error_status(error: Exception) -> ErrorStatus:
    """Returns the status for `error`.

    An error that is not in the table is a fault of the server: INTERNAL, and its text goes to the log alone.
    """
    # By its exact type: a new subclass must get a line of its own, or it shows up as INTERNAL.
    if isinstance(error, DigitServiceError) and type(error) in _TABLE:
        code, reason = _TABLE[type(error)]
        return ErrorStatus(code, str(error), reason, error.retry_after_seconds)
    return ErrorStatus(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details", INTERNAL_REASON)
