"""KServe's Python server with its gRPC endpoint: `PORT HTTP_PORT GRAPH`.

KServe's workers serve HTTP only; its gRPC server is one process whatever their number.
"""

import logging
import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from benchmarks.peers.onnx_session import Session

DATATYPES = {"probabilities": "FP32", "digit": "INT64", "novelty": "FP32"}


class Digits(Model):  # type: ignore[misc]  # kserve is in an environment of its own, which mypy does not see
    """KServe's way: a Model with predict()."""

    def __init__(self, graph_file: str) -> None:
        super().__init__("mnist")
        self._session = Session(graph_file)
        self.ready = True

    async def predict(self, payload: InferRequest, *_: object) -> InferResponse:
        """Runs on the event loop, as the examples do."""
        answers = self._session.run(payload.inputs[0].as_numpy())
        outputs = []
        for name, datatype in DATATYPES.items():
            output = InferOutput(name, list(answers[name].shape), datatype)
            output.set_data_from_numpy(answers[name], binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id, "mnist", outputs)


if __name__ == "__main__":
    port, http_port, graph_file = sys.argv[1:]
    server = ModelServer(
        http_port=int(http_port), grpc_port=int(port), enable_latency_logging=False, workers=1, event_loop="uvloop"
    )
    logging.getLogger("kserve").setLevel(logging.WARNING)  # by default a line is logged for each call
    server.start([Digits(graph_file)])
