"""open-inference-grpc, the stubs that the protocol's working group generated."""

import sys
from typing import Any

import grpc
import numpy as np
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub

from tests.conformance.programs.calls import DIGITS, PIXELS, report

STUB = GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))


def request(model: str = "mnist") -> Any:
    given = protocol.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=PIXELS.shape)
    return protocol.ModelInferRequest(model_name=model, inputs=[given])


def raw() -> Any:
    given = request()
    given.raw_input_contents.append(PIXELS.tobytes())
    response = STUB.ModelInfer(given)
    names = [output.name for output in response.outputs]
    return np.frombuffer(response.raw_output_contents[names.index("digit")], "<i8").tolist()


def typed() -> Any:
    given = request()
    given.inputs[0].contents.uint_contents.extend(PIXELS.ravel().tolist())
    [output] = [output for output in STUB.ModelInfer(given).outputs if output.name == "digit"]
    return list(output.contents.int64_contents)


def status_of_an_unknown_model() -> str:
    try:
        STUB.ModelInfer(request("cats"))
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


if __name__ == "__main__":
    report(
        {
            "ServerLive": (lambda: STUB.ServerLive(protocol.ServerLiveRequest()).live, True),
            "ServerReady": (lambda: STUB.ServerReady(protocol.ServerReadyRequest()).ready, True),
            "ModelReady": (lambda: STUB.ModelReady(protocol.ModelReadyRequest(name="mnist")).ready, True),
            "ServerMetadata": (lambda: bool(STUB.ServerMetadata(protocol.ServerMetadataRequest()).name), True),
            "ModelMetadata": (lambda: STUB.ModelMetadata(protocol.ModelMetadataRequest(name="mnist")).name, "mnist"),
            "ModelInfer raw": (raw, DIGITS),
            "ModelInfer typed": (typed, DIGITS),
            "unknown model": (status_of_an_unknown_model, "NOT_FOUND"),
        }
    )
