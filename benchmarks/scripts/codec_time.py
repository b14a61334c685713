"""Times parsing a request of raw pixels and serializing its response, in process: our codecs and plain protobuf.

Processor time, the lowest of many repeats, so that other programs on the machine add little.
"""

import argparse
import time
import timeit
from collections.abc import Callable, Sequence

import numpy as np

from protos.inference.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, request_images, response_bytes
from serving.api.open_inference.codec import AcceptedModel, infer_request, infer_response, parse_infer
from serving.api.open_inference.outputs import ALL_OUTPUTS, OUTPUTS, raw_response
from serving.predictions import BatchPredictions, Predictions

MODEL = AcceptedModel("mnist", 2, 1024)
REPEATS = 30
CALLS = 500


def main(arguments: Sequence[str]) -> None:
    """Prints microseconds a call for one image and for 64."""
    argparse.ArgumentParser(prog="python -m benchmarks codec_time", description=__doc__).parse_args(arguments)
    print("images  contract   codec     read us  write us")
    for images in (1, 64):
        pixels = np.random.default_rng(0).integers(0, 256, (images, 784), np.uint8).tobytes()
        predictions = _predictions(images)
        _print(images, "mnist.v1", *_mnist_v1(pixels, predictions))
        _print(images, "inference", *_open_inference(pixels, predictions))


def _print(images: int, contract: str, ours: tuple[float, float], protobuf: tuple[float, float]) -> None:
    for codec, (read, write) in (("ours", ours), ("protobuf", protobuf)):
        print(f"{images:6}  {contract:9}  {codec:8}  {read:7.2f}  {write:8.2f}")


def _mnist_v1(pixels: bytes, predictions: Predictions) -> tuple[tuple[float, float], tuple[float, float]]:
    cut = [pixels[start : start + 784] for start in range(0, len(pixels), 784)]
    images = [digits_pb2.Image(pixels=image) for image in cut]
    content = digits_pb2.ClassifyRequest(images=images).SerializeToString()

    def serialized() -> bytes:
        columns = predictions.digits, predictions.novelties, predictions.probabilities
        rows = zip(*(column.tolist() for column in columns), strict=True)
        messages = [
            digits_pb2.Prediction(digit=digit, novelty=novelty, probability=row[digit], probabilities=row)
            for digit, novelty, row in rows
        ]
        return digits_pb2.ClassifyResponse(predictions=messages, model_version=2).SerializeToString()

    return (
        (_microseconds(lambda: parse_request(content, 1024)), _microseconds(lambda: response_bytes(predictions))),
        (
            _microseconds(lambda: request_images(digits_pb2.ClassifyRequest.FromString(content), 1024)),
            _microseconds(serialized),
        ),
    )


def _open_inference(pixels: bytes, predictions: Predictions) -> tuple[tuple[float, float], tuple[float, float]]:
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[len(pixels) // 784, 784])
    content = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[pixels]).SerializeToString()
    request = parse_infer(content, MODEL)

    def serialized() -> bytes:
        response = ModelInferResponse(model_name="mnist", model_version="2")
        for name, output in OUTPUTS.items():
            shape = [predictions.images, *output.row_shape]
            response.outputs.add(name=name, datatype=output.datatype, shape=shape)
            response.raw_output_contents.append(output.array(predictions.batch).tobytes())
        return response.SerializeToString()

    if serialized() != raw_response("mnist", "", ALL_OUTPUTS, predictions):
        raise RuntimeError("the two codecs write different bytes: this is a bug")
    return (
        (
            _microseconds(lambda: parse_infer(content, MODEL)),
            _microseconds(lambda: infer_response(request, "mnist", predictions)),
        ),
        (
            _microseconds(lambda: infer_request(ModelInferRequest.FromString(content), MODEL)),
            _microseconds(serialized),
        ),
    )


def _predictions(images: int) -> Predictions:
    probabilities = np.random.default_rng(1).random((images, 10), np.float32)
    digits, novelties = probabilities.argmax(axis=1), 1 - probabilities.max(axis=1)
    batch = BatchPredictions(probabilities, digits, novelties)
    batch.version = 2
    return Predictions(batch, 0, images)


def _microseconds(call: Callable[[], object]) -> float:
    call()
    return min(timeit.repeat(call, number=CALLS, repeat=REPEATS, timer=time.process_time)) / CALLS * 1e6
