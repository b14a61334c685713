"""MLServer's way: a custom runtime, an MLModel with load() and predict()."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.onnx_session import OUTPUTS, Session


class Digits(MLModel):  # type: ignore[misc]  # mlserver is in an environment of its own, which mypy does not see
    """The example network."""

    async def load(self) -> bool:
        """Opens the graph."""
        self._session = Session(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One request, or what the adaptive batcher made of several."""
        answers = self._session.run(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output(name, answers[name]) for name in OUTPUTS]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
