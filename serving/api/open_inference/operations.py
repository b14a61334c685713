"""The Open Inference Protocol's operations over the use cases, whatever brought the request: gRPC or HTTP."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from protos.inference import open_inference_pb2 as protocol
from serving.api.open_inference.codec import AcceptedModel, InferRequest
from serving.api.open_inference.description import model_statistics, repository_index
from serving.api.open_inference.totals import InferTotals
from serving.auth.api_keys import Caller
from serving.core.batcher import Result
from serving.core.classifier import Classifier
from serving.core.picture_decoder import ImageInput
from serving.core.registry import Registry
from serving.errors import (
    InvalidRequestError,
    ModelRejectedError,
    NotReadyError,
    NotSupportedError,
    UnknownModelError,
    UnknownVersionError,
    VersionRefusedError,
)
from serving.predictions import PIXELS, Predictions

Collect = Callable[[], Awaitable[Mapping[tuple[str, ...], float]]]  # as serving.metrics.merge.values() has them
Encode = Callable[[Predictions], bytes]
NO_SHARED_MEMORY = "shared memory is not supported: send the data in the request"
NO_SETTINGS = "settings are not changed by requests: start the server with other flags"
NO_UNLOADING = "the server serves one model, which is not unloaded by requests: end the server"


class OpenInferenceOperations:
    """Operations on the served model. They raise the errors of serving.errors."""

    def __init__(
        self,
        classifier: Classifier,
        registry: Registry,
        totals: InferTotals,
        collect: Collect,
        reload: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`collect`: returns the metrics of all processes of the service.

        `reload`: reloads models in all workers, or raises ModelRejectedError; None: load() is not supported.
        """
        self._classifier = classifier
        self._registry = registry
        self._collect = collect
        self._reload = reload
        self.totals = totals
        self._accepted = AcceptedModel("", 0, 0)  # the last one that model() returned

    @property
    def has_administration(self) -> bool:
        """True where load() may be called."""
        return self._reload is not None

    def model(self) -> AcceptedModel:
        """Returns the model that answers now. Raises NotReadyError."""
        model, versions, last = self._registry.served().model, self._registry.versions, self._accepted
        if last.versions is not versions or last.name != model.name:  # the registry makes a new tuple at each change
            most = self._classifier.max_images_per_request
            self._accepted = AcceptedModel(model.name, model.version, most, versions)
        return self._accepted

    def checked(self, name: str, version: str) -> AcceptedModel:
        """Returns the model. Raises NotReadyError, UnknownModelError or UnknownVersionError."""
        model = self.model()
        model.check(name, version)
        return model

    def model_if_ready(self) -> AcceptedModel | None:
        """Returns the model that answers now; None: none is ready."""
        try:
            return self.model()
        except NotReadyError:
            return None

    def is_ready(self, name: str, version: str) -> bool:
        """Returns whether that model is served. An unknown one is not: programs that wait for a model ask so."""
        try:
            self.checked(name, version)
        except (NotReadyError, UnknownModelError, UnknownVersionError):
            return False
        return True

    def begin(self, request: InferRequest, caller: Caller, result: Result, deadline: float) -> Callable[[], object]:
        """Begins to predict raw pixels; `result` receives the outcome. Returns what to call when the caller has gone.

        `deadline`: in time.monotonic() seconds. Raises what Classifier.begin raises.
        """
        if not isinstance(request.images, bytes):
            raise TypeError("pictures are begun by infer(): this is a bug")
        pixels = np.frombuffer(request.images, np.uint8).reshape(-1, PIXELS)
        return self._classifier.begin(pixels, caller, result, _version(request), _until(request, deadline)).release

    async def infer(self, request: InferRequest, caller: Caller, deadline: float) -> Predictions:
        """Predicts what the request holds, pixels or pictures. Raises what Classifier.classify raises."""
        given = request.images
        images = np.frombuffer(given, np.uint8).reshape(-1, PIXELS) if isinstance(given, bytes) else given
        return await self._classifier.classify(images, caller, _version(request), _until(request, deadline))

    async def classify(self, images: Sequence[ImageInput], caller: Caller, deadline: float) -> Predictions:
        """Predicts pixels or pictures by the version that is served. Raises what Classifier.classify raises."""
        return await self._classifier.classify(images, caller, 0, deadline)

    def timed(self, encode: Encode, predictions: Predictions) -> bytes:
        """Encodes a response, and counts the stages of its request."""
        began = time.perf_counter()
        response = encode(predictions)
        self.totals.add_stages(predictions, time.perf_counter() - began)
        return response

    def encoder(self, encode: Encode) -> Encode:
        """Returns timed() for one request."""
        return partial(self.timed, encode)

    async def statistics(self, name: str, version: str) -> protocol.ModelStatisticsResponse:
        """Returns Triton's statistics, of all processes together. An empty name stands for the model that is served."""
        model = self.checked(name, version) if name else self.model()
        return model_statistics(model, await self._collect())

    def index(self, only_ready: bool) -> protocol.RepositoryIndexResponse:
        """Lists the versions that are served, and without `only_ready` those that were refused."""
        refused = {} if only_ready else {version: each.reason for version, each in self._registry.reported().items()}
        return repository_index(self.model_if_ready(), refused)

    async def load(self, name: str, parameters: Collection[str]) -> None:
        """Looks for new versions of the model now. Raises VersionRefusedError for one that fails its checks.

        `parameters`: names of those sent along. Raises InvalidRequestError for those that bring a model.
        """
        self.checked(name, "")
        brought = [each for each in parameters if each == "config" or each.startswith("file:")]
        if brought:
            raise InvalidRequestError(
                f"a model is served from the repository alone, and {brought[0][:40]!a} in the request is not used:"
                " put a new version into the model's folder and load without it"
            )
        if self._reload is None:
            raise NotSupportedError("administration is off (--no-admin)")
        try:
            await self._reload()
        except ModelRejectedError as error:
            raise VersionRefusedError(str(error)) from error


def _version(request: InferRequest) -> int:
    return int(request.head.model_version or 0)  # a served one: the codec has checked it


def _until(request: InferRequest, deadline: float) -> float:
    # The earlier of the call's deadline (tritonclient's client_timeout) and the parameter `timeout`.
    return min(deadline, time.monotonic() + request.head.timeout_seconds)
