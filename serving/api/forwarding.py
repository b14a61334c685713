"""Requests that came by HTTP, forwarded to the process that answers them, and their responses. Both can be pickled.

ForwardedCalls answers, counts and logs them with the authenticator and the statuses of gRPC.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from serving.api.access_log import AccessLog
from serving.api.status import INTERNAL_REASON, ErrorStatus, error_status
from serving.auth.api_keys import CLASSIFY, Caller
from serving.auth.authenticator import Authenticator
from serving.logging import Logger

if TYPE_CHECKING:  # the supervisor imports this module, and must not load NumPy
    from serving.metrics.metrics import Metrics

Method = Literal["Classify", "Explain"]  # of mnist.v1.DigitClassifier
# The method's response, serialised, or the status of its failure.
ForwardedResponse = bytes | ErrorStatus
# Answers a serialised request of a caller until a deadline in time.monotonic() seconds.
Operation = Callable[[bytes, Caller, float], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """A call. `request`: the method's request message, serialised. `timeout_seconds` counts from when it is begun."""

    method: Method
    request: bytes
    timeout_seconds: float
    address: str  # of the client, `http:HOST:PORT`
    metadata: tuple[tuple[str, str], ...]  # lower-case names; an API key may be among them

    def peer(self) -> str:
        """Returns the client's address, under which its share of the queue is counted."""
        return self.address

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the metadata, as grpc's context does."""
        return self.metadata


class ForwardedCalls:
    """Answers forwarded requests with `operations`, one for each method."""

    def __init__(
        self,
        operations: Mapping[Method, Operation],
        authenticator: Authenticator,
        metrics: "Metrics",
        log: Logger,
        access_log: AccessLog | None,
    ) -> None:
        self._operations = operations
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log

    async def answer(self, call: ForwardedRequest) -> ForwardedResponse:
        """Answers one call, counts and logs it. A failure becomes an ErrorStatus; only a cancellation is raised."""
        begun, code = time.monotonic(), "CANCELLED"  # unless a response or a status is reached
        try:
            response = await self._answer(call, begun + call.timeout_seconds)
            code = response.code.name if isinstance(response, ErrorStatus) else "OK"
        finally:
            self._metrics.http_requests.labels(call.method, code).inc()
            if self._access_log:
                self._access_log.add(f"HTTP {call.method}", code, time.monotonic() - begun, call.address)
        return response

    async def _answer(self, call: ForwardedRequest, deadline: float) -> ForwardedResponse:
        try:
            caller = self._authenticator.authenticate(call, CLASSIFY)
            return await self._operations[call.method](call.request, caller, deadline)
        except Exception as error:  # the border of a call: nothing may escape to the HTTP server or the worker's loop
            status = error_status(error)
            self._metrics.rejected.labels(status.reason).inc()
            if status.reason == INTERNAL_REASON:
                self._log.error("rpc_failed", method=f"HTTP {call.method}", exc_info=error)
            return status
