"""Results of requests on their way from the batcher: each hands the outcome on, and does one thing before or after."""

from serving.auth.api_keys import Caller
from serving.core.admission import Admission
from serving.core.batcher import Result
from serving.core.candidates.shadow import Shadow
from serving.core.feedback import Recorder
from serving.predictions import Pixels, Predictions
from serving.traces.request_trace import ANSWER, RequestTrace


class _Passed:
    """Result that stands before another one, to which it hands everything on."""

    __slots__ = ("_result",)

    def __init__(self, result: Result) -> None:
        self._result = result

    def cancelled(self) -> bool:
        """Returns True when the caller has gone."""
        return self._result.cancelled()

    def done(self) -> bool:
        """Returns True when the caller has gone or has a result."""
        return self._result.done()

    def set_exception(self, error: Exception, /) -> None:
        """Takes the error."""
        self._result.set_exception(error)


class Admitted(_Passed):
    """Result of an admitted request: gives its room back at the first outcome, and then hands the outcome on."""

    __slots__ = ("_admission", "_client", "_images")

    def __init__(self, admission: Admission, client: str, images: int, result: Result) -> None:
        super().__init__(result)
        self._admission = admission
        self._client = client
        self._images = images

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions."""
        self.release()
        self._result.set_result(predictions)

    def set_exception(self, error: Exception, /) -> None:
        """Takes the error."""
        self.release()
        self._result.set_exception(error)

    def release(self) -> None:
        """Gives the room back: call it when the caller has gone. A second call does nothing."""
        if self._images:
            self._admission.release(self._client, self._images)
            self._images = 0


class Recorded(_Passed):
    """Result of a request on which feedback may be given: keeps its images at hand before it hands the outcome on."""

    __slots__ = ("_caller", "_pixels", "_recorder")

    def __init__(self, recorder: Recorder, caller: Caller, pixels: Pixels, result: Result) -> None:
        super().__init__(result)
        self._recorder = recorder
        self._caller = caller
        self._pixels = pixels

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions."""
        self._recorder.add(self._caller, self._pixels, predictions)  # first: feedback may follow at once
        self._result.set_result(predictions)


class Traced(_Passed):
    """Result of a sampled request: notes when its batch ran before it hands the outcome on."""

    __slots__ = ("_trace",)

    def __init__(self, trace: RequestTrace, result: Result) -> None:
        super().__init__(result)
        self._trace = trace

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions."""
        note_batch(self._trace, predictions)
        self._result.set_result(predictions)


def note_batch(trace: RequestTrace, predictions: Predictions, then: str = ANSWER) -> None:
    """Notes in the trace of a sampled request, which waits for its batch, when the batch ran. `then`: what is next."""
    trace.ran(predictions.queue_seconds, predictions.inference_seconds, predictions.batch_images, then)


class Shadowed(_Passed):
    """Result of a request that a candidate version gets as well, once its answer has left."""

    __slots__ = ("_caller", "_pixels", "_shadow")

    def __init__(self, shadow: Shadow, caller: Caller, pixels: Pixels, result: Result) -> None:
        super().__init__(result)
        self._shadow = shadow
        self._caller = caller
        self._pixels = pixels

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions."""
        self._result.set_result(predictions)
        self._shadow.offer(self._caller, self._pixels, predictions)
