"""A unary call whose predictions are to come: encodes and sends them when the batch has run, without a task."""

from collections.abc import Awaitable, Callable

from serving.api.engine.call import Call
from serving.api.stage_times import encode_with_stage_times
from serving.predictions import Predictions

Encode = Callable[[Predictions], bytes]
Fail = Callable[[Call, Exception], None]


class PendingCall:
    """Result of a request, which ends the request's call."""

    __slots__ = ("_call", "_encode", "_fail")

    def __init__(self, call: Call, encode: Encode, fail: Fail) -> None:
        """`encode`: makes the response. `fail`: ends the call with the status of an error."""
        self._call = call
        self._encode = encode
        self._fail = fail

    def cancelled(self) -> bool:
        """Returns True when the caller has gone."""
        return self._call.is_over

    def done(self) -> bool:
        """Returns True when the call has ended."""
        return self._call.is_over

    def set_result(self, predictions: Predictions, /) -> None:
        """Sends the response."""
        try:
            self._call.respond(encode_with_stage_times(self._call, self._encode, predictions))
        except Exception as error:  # the border of one call: the others of its batch are answered
            self._fail(self._call, error)

    def set_exception(self, error: Exception, /) -> None:
        """Sends the status of the error."""
        self._fail(self._call, error)


async def deliver(predict: Callable[[], Awaitable[Predictions]], result: PendingCall) -> None:
    """Makes predictions, which takes more than one batch, and ends the call with them.

    `predict`: a function, as a coroutine made for a task that is cancelled before its first step is never awaited.
    """
    try:
        found = await predict()
    except Exception as error:  # the border of the call
        result.set_exception(error)
    else:
        result.set_result(found)
