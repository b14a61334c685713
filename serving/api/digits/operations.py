"""Calls that come by no connection of gRPC's: from the HTTP side, which may be another process."""

import time

from serving.api.access_log import AccessLog
from serving.api.digits.codec import parse_request, response_bytes
from serving.api.digits.explain_codec import explanation_bytes, parse_explain
from serving.api.forwarding import Answer, Question
from serving.api.rpc import Gate
from serving.api.status import INTERNAL_REASON, ErrorStatus, error_status
from serving.auth.api_keys import CLASSIFY
from serving.core.classifier import Classifier
from serving.core.explainer import Explainer
from serving.logging import Logger
from serving.metrics.metrics import Metrics


class DirectFace:
    """Answers questions with the classifier, gate and statuses of the gRPC side."""

    def __init__(
        self,
        classifier: Classifier,
        gate: Gate,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        explainer: Explainer,
    ) -> None:
        self._classifier = classifier
        self._gate = gate
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        self._explainer = explainer

    async def answer(self, question: Question) -> Answer:
        """The answer, counted. Raises nothing but a cancellation."""
        begun, code = time.monotonic(), "CANCELLED"
        try:
            answer = await self._answer(question, begun + question.seconds)
            code = answer.code.name if isinstance(answer, ErrorStatus) else "OK"
        finally:
            self._metrics.http_requests.labels(question.method, code).inc()
            if self._access_log:
                self._access_log.add(
                    time.time(), f"HTTP {question.method}", code, time.monotonic() - begun, question.address
                )
        return answer

    async def _answer(self, question: Question, deadline: float) -> Answer:
        try:
            caller = self._gate.caller(question, CLASSIFY)
            if question.method == "Explain":
                image, asked = parse_explain(question.request)
                made = await self._explainer.explain(image, caller, asked.model_version, deadline)
                return explanation_bytes(made, with_kernels=not asked.without_kernels)
            images, version = parse_request(question.request, self._classifier.max_images_per_request)
            return response_bytes(await self._classifier.classify(images, caller, version, deadline))
        except Exception as error:  # the border of a call
            status = error_status(error)
            self._metrics.rejected.labels(status.reason).inc()
            if status.reason == INTERNAL_REASON:
                self._log.error("rpc_failed", method=f"HTTP {question.method}", exc_info=error)
            return status
