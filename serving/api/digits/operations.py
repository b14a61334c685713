"""Classify, Explain and Feedback as operations: serialised requests in, responses out, over any transport."""

from typing import Any

from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, request_id_bytes, response_bytes
from serving.api.digits.explain_codec import explanation_bytes, parse_explain
from serving.api.digits.feedback_codec import feedback_bytes, feedback_document, parse_feedback
from serving.auth.api_keys import Caller
from serving.core.classifier import Classifier
from serving.core.explainer import Explainer
from serving.core.feedback import AnsweredLine, Feedback, LineTruth, Truth
from serving.store.records import Answered


class DigitOperations:
    """Operations of mnist.v1 over the use cases.

    They raise InvalidRequestError, and the errors of Classifier.classify, Explainer.explain and Feedback.give.
    """

    def __init__(self, classifier: Classifier, explainer: Explainer, feedback: Feedback) -> None:
        self._classifier = classifier
        self._explainer = explainer
        self._feedback = feedback

    @property
    def takes_feedback(self) -> bool:
        """True where this server takes feedback: then responses have their request's id."""
        return self._feedback.is_taken

    async def classify(self, request: bytes | digits_pb2.ClassifyRequest, caller: Caller, deadline: float) -> bytes:
        """Answers a ClassifyRequest with a serialised ClassifyResponse. `deadline`: in time.monotonic() seconds."""
        images, version = parse_request(request, self._classifier.max_images_per_request)
        response = response_bytes(await self._classifier.classify(images, caller, version, deadline))
        return response + request_id_bytes(caller.request_id) if self.takes_feedback else response

    async def feedback(self, request: bytes, caller: Caller, deadline: float) -> bytes:
        """Answers a serialised FeedbackRequest with a serialised FeedbackResponse."""
        return feedback_bytes(await self._given(parse_feedback(request), caller, deadline))

    async def give(self, truth: Truth | LineTruth, caller: Caller, deadline: float) -> dict[str, Any]:
        """Answers feedback with the fields of a FeedbackResponse, as JSON has them."""
        return feedback_document(await self._given(truth, caller, deadline))

    async def _given(self, truth: Truth | LineTruth, caller: Caller, deadline: float) -> Answered | AnsweredLine:
        if isinstance(truth, LineTruth):
            return await self._feedback.give_line(truth, caller, deadline)
        return await self._feedback.give(truth, caller, deadline)

    async def explain(self, request: bytes, caller: Caller, deadline: float) -> bytes:
        """Answers a serialised ExplainRequest with a serialised ExplainResponse."""
        image, message = parse_explain(request)
        explanation = await self._explainer.explain(image, caller, message.model_version, deadline)
        request_id = caller.request_id if self.takes_feedback else ""
        return explanation_bytes(explanation, not message.without_kernels, request_id)
