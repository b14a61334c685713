"""Classify and Explain as operations: a serialised request in, a serialised response out, over any transport."""

from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, response_bytes
from serving.api.digits.explain_codec import explanation_bytes, parse_explain
from serving.auth.api_keys import Caller
from serving.core.classifier import Classifier
from serving.core.explainer import Explainer


class DigitOperations:
    """Operations of mnist.v1 over the use cases.

    They raise InvalidRequestError, and the errors of Classifier.classify and Explainer.explain.
    """

    def __init__(self, classifier: Classifier, explainer: Explainer) -> None:
        self._classifier = classifier
        self._explainer = explainer

    async def classify(self, request: bytes | digits_pb2.ClassifyRequest, caller: Caller, deadline: float) -> bytes:
        """Answers a ClassifyRequest with a serialised ClassifyResponse. `deadline`: in time.monotonic() seconds."""
        images, version = parse_request(request, self._classifier.max_images_per_request)
        return response_bytes(await self._classifier.classify(images, caller, version, deadline))

    async def explain(self, request: bytes, caller: Caller, deadline: float) -> bytes:
        """Answers a serialised ExplainRequest with a serialised ExplainResponse."""
        image, message = parse_explain(request)
        explanation = await self._explainer.explain(image, caller, message.model_version, deadline)
        return explanation_bytes(explanation, with_kernels=not message.without_kernels)
