"""The seeds of the targets classify and infer: requests as clients send them, and as none should."""

from typing import Any

import numpy as np

from protos.inference.open_inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from protos.mnist.v1.digits_pb2 import ClassifyRequest, Image

Seeds = dict[str, bytes]
PIXELS = bytes(400) + b"\xff" * 50 + bytes(334)
UNIT = np.frombuffer(PIXELS, np.uint8) / np.float32(255)
REGION = {"shared_memory_region": InferParameter(string_param="region")}
Tensor = ModelInferRequest.InferInputTensor
Output = ModelInferRequest.InferRequestedOutputTensor


def classify() -> Seeds:
    """ClassifyRequests."""
    raw, encoded = Image(pixels=PIXELS), Image(encoded=b"\x89PNG")
    messages = {
        "raw": ClassifyRequest(images=[raw]),
        "two-raw": ClassifyRequest(images=[raw, raw]),
        "eight-raw": ClassifyRequest(images=[raw] * 8),
        "nine-raw": ClassifyRequest(images=[raw] * 9),
        "raw-of-a-version": ClassifyRequest(images=[raw], model_version=3),
        "encoded": ClassifyRequest(images=[encoded]),
        "mixed": ClassifyRequest(images=[raw, encoded, raw]),
        "wrong-length": ClassifyRequest(images=[Image(pixels=PIXELS[:783])]),
        "neither-form": ClassifyRequest(images=[Image()]),
        "too-many": ClassifyRequest(images=[encoded] * 20),
        "nothing": ClassifyRequest(),
        "negative-version": ClassifyRequest(model_version=-1),
    }
    seeds = {name: message.SerializeToString() for name, message in messages.items()}
    return seeds | {"cut-off": seeds["raw"][:400], "raw-and-more": seeds["raw"] + b"\x10\x03", "text": b"seven"}


def infer() -> Seeds:
    """ModelInferRequests."""
    levels = np.frombuffer(PIXELS, np.uint8).tolist()
    picture = b"\x89PNG"
    messages = {
        "raw": _request(_tensor("UINT8", 1, 784), PIXELS),
        "raw-two": _request(_tensor("UINT8", 2, 28, 28), PIXELS * 2),
        "raw-one-image": _request(_tensor("UINT8", 28, 28), PIXELS),
        "raw-channels-last": _request(_tensor("UINT8", 1, 28, 28, 1), PIXELS),
        "raw-floats": _request(_tensor("FP32", 1, 784), UNIT.astype("<f4").tobytes()),
        "raw-halves": _request(_tensor("FP16", 784), UNIT.astype("<f2").tobytes()),
        "raw-doubles": _request(_tensor("FP64", 1, 1, 28, 28), UNIT.astype("<f8").tobytes()),
        "raw-wide": _request(_tensor("INT32", 1, 784), np.array(levels, "<i4").tobytes()),
        "raw-bytes": _request(_tensor("BYTES", 2), (b"\4\0\0\0" + picture) * 2),
        "raw-bytes-column": _request(_tensor("BYTES", 1, 1), b"\4\0\0\0" + picture),
        "raw-not-a-number": _request(_tensor("FP32", 784), np.full(784, np.nan, "<f4").tobytes()),
        "typed": _request(_tensor("UINT8", 1, 784, uint_contents=levels)),
        "typed-int32": _request(_tensor("INT32", 1, 784, int_contents=levels)),
        "typed-int64": _request(_tensor("INT64", 784, int64_contents=levels)),
        "typed-uint64": _request(_tensor("UINT64", 784, uint64_contents=levels)),
        "typed-floats": _request(_tensor("FP32", 1, 784, fp32_contents=UNIT.tolist())),
        "typed-doubles": _request(_tensor("FP64", 1, 784, fp64_contents=[0.5] * 784)),
        "typed-bytes": _request(_tensor("BYTES", 1, bytes_contents=[picture])),
        "typed-of-another-type": _request(_tensor("FP32", 784, bool_contents=[True] * 784)),
        "typed-halves": _request(_tensor("FP16", 784, fp32_contents=UNIT.tolist())),
        "typed-and-raw": _request(_tensor("UINT8", 784, uint_contents=levels), PIXELS),
        "outputs": _request(_tensor("UINT8", 784), PIXELS, outputs=[Output(name="digit"), _classes(3)]),
        "outputs-twice": _request(_tensor("UINT8", 784), PIXELS, outputs=[Output(name="digit")] * 2),
        "output-unknown": _request(_tensor("UINT8", 784), PIXELS, outputs=[Output(name="logits")]),
        "classes-of-none": _request(_tensor("UINT8", 784), PIXELS, outputs=[_classes(0)]),
        "outputs-too-many": _request(_tensor("UINT8", 784), PIXELS, outputs=[Output(name="digit")] * 5),
        "output-in-shared-memory": _request(
            _tensor("UINT8", 784), PIXELS, outputs=[Output(name="digit", parameters=REGION)]
        ),
        "classes-of-a-digit": _request(_tensor("UINT8", 784), PIXELS, outputs=[_classes(3, "digit")]),
        "timeout": _request(_tensor("UINT8", 784), PIXELS, parameters={"timeout": InferParameter(int64_param=5000)}),
        "timeout-text": _request(
            _tensor("UINT8", 784), PIXELS, parameters={"timeout": InferParameter(string_param="5")}
        ),
        "version": _request(_tensor("UINT8", 784), PIXELS, model_version="3", id="seven"),
        "version-unknown": _request(_tensor("UINT8", 784), PIXELS, model_version="4"),
        "model-unknown": _request(_tensor("UINT8", 784), PIXELS, model_name="other"),
        "datatype-unknown": _request(_tensor("BOOL", 784), PIXELS),
        "shared-memory": _request(_shared(), PIXELS),
        "two-inputs": _request(_tensor("UINT8", 784), PIXELS, inputs=[_tensor("UINT8", 784)] * 2),
        "two-raws": _request(_tensor("UINT8", 784), PIXELS, raw_input_contents=[PIXELS] * 2),
        "too-many": _request(_tensor("UINT8", 9, 784), PIXELS * 9),
        "shape-huge": _request(_tensor("UINT8", 2**62, 784), PIXELS),
        "shape-negative": _request(_tensor("UINT8", -1, 784), PIXELS),
        "shape-long": _request(_tensor("UINT8", *[1] * 40), PIXELS),
        "nothing": ModelInferRequest(),
    }
    seeds = {name: message.SerializeToString() for name, message in messages.items()}
    return seeds | {"cut-off": seeds["raw"][:400], "text": b"seven"}


def _request(tensor: Tensor, *raw: bytes, **fields: Any) -> ModelInferRequest:
    whole: dict[str, Any] = {"model_name": "mnist", "inputs": [tensor], "raw_input_contents": raw}
    return ModelInferRequest(**(whole | fields))


def _tensor(datatype: str, *shape: int, **contents: list[Any]) -> Tensor:
    return Tensor(
        name="pixels", datatype=datatype, shape=shape, contents=InferTensorContents(**contents) if contents else None
    )


def _classes(count: int, output: str = "probabilities") -> Output:
    return Output(name=output, parameters={"classification": InferParameter(int64_param=count)})


def _shared() -> Tensor:
    return Tensor(name="pixels", datatype="UINT8", shape=[784], parameters=REGION)
