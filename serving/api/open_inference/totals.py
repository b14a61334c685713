"""Counts the Open Inference Protocol's requests and the time of their stages, as Triton's statistics need them."""

from serving.metrics.metrics import Metrics
from serving.predictions import Predictions

REQUESTS = "mnist_open_inference_requests"
SECONDS = "mnist_open_inference_seconds"
SUCCESS, FAILURE = "success", "failure"
QUEUE, INPUT, INFERENCE, OUTPUT = "queue", "input", "inference", "output"


class InferTotals:
    """Totals of this process, in its metrics: those of all processes are summed with them."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = {outcome: metrics.infer_requests.labels(outcome) for outcome in (SUCCESS, FAILURE)}
        stages = (SUCCESS, FAILURE, QUEUE, INPUT, INFERENCE, OUTPUT)
        self._seconds = {stage: metrics.infer_seconds.labels(stage) for stage in stages}

    def add(self, seconds: float, is_answered: bool) -> None:
        """Counts a request that took `seconds` from its arrival to its end."""
        outcome = SUCCESS if is_answered else FAILURE
        self._requests[outcome].inc()
        self._seconds[outcome].inc(seconds)

    def add_stages(self, predictions: Predictions, encode_seconds: float) -> None:
        """Counts the stages of a request that is answered."""
        seconds = self._seconds
        seconds[QUEUE].inc(predictions.queue_seconds)
        seconds[INPUT].inc(predictions.decode_seconds)
        seconds[INFERENCE].inc(predictions.inference_seconds)
        seconds[OUTPUT].inc(encode_seconds)
