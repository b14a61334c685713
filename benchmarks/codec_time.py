"""What reading a request of raw pixels and writing its answer cost, in process: the short ways, and protobuf alone.

`python -m benchmarks.codec_time`. Processor time, the least of many repeats: other programs on the machine add little.
"""

import time
import timeit
from collections.abc import Callable

import numpy as np

from protos.inference.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, request_images, response_bytes
from serving.api.open_inference.codec import ServedModel, infer_request, infer_response, parse_infer
from serving.api.open_inference.outputs import ALL_OUTPUTS, OUTPUTS, raw_response
from serving.core.classifier import Predictions
from serving.predictions import BatchRows, Rows, Timing

MODEL = ServedModel("mnist", 2, 1024)
REPEATS = 30
CALLS = 500


def main() -> None:
    """Prints microseconds a call for one image and for sixty-four."""
    print("images  contract   way       read us  write us")
    for images in (1, 64):
        pixels = np.random.default_rng(0).integers(0, 256, (images, 784), np.uint8).tobytes()
        answer = _answer(images)
        _print(images, "mnist.v1", *_mnist_v1(pixels, answer))
        _print(images, "inference", *_open_inference(pixels, answer))


def _print(images: int, contract: str, short: tuple[float, float], protobuf: tuple[float, float]) -> None:
    for way, (read, write) in (("short", short), ("protobuf", protobuf)):
        print(f"{images:6}  {contract:9}  {way:8}  {read:7.2f}  {write:8.2f}")


def _mnist_v1(pixels: bytes, answer: Predictions) -> tuple[tuple[float, float], tuple[float, float]]:
    cut = [pixels[start : start + 784] for start in range(0, len(pixels), 784)]
    images = [digits_pb2.Image(pixels=image) for image in cut]
    content = digits_pb2.ClassifyRequest(images=images).SerializeToString()

    def written() -> bytes:
        columns = answer.rows.digits, answer.rows.novelties, answer.rows.probabilities
        rows = zip(*(column.tolist() for column in columns), strict=True)
        predictions = [
            digits_pb2.Prediction(digit=digit, novelty=novelty, probability=row[digit], probabilities=row)
            for digit, novelty, row in rows
        ]
        return digits_pb2.ClassifyResponse(predictions=predictions, model_version=2).SerializeToString()

    return (
        (_microseconds(lambda: parse_request(content, 1024)), _microseconds(lambda: response_bytes(answer))),
        (
            _microseconds(lambda: request_images(digits_pb2.ClassifyRequest.FromString(content), 1024)),
            _microseconds(written),
        ),
    )


def _open_inference(pixels: bytes, answer: Predictions) -> tuple[tuple[float, float], tuple[float, float]]:
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[len(pixels) // 784, 784])
    content = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[pixels]).SerializeToString()
    asked = parse_infer(content, MODEL)

    def written() -> bytes:
        response = ModelInferResponse(model_name="mnist", model_version="2")
        for name, output in OUTPUTS.items():
            shape = [answer.rows.images, *output.row_shape]
            response.outputs.add(name=name, datatype=output.datatype, shape=shape)
            response.raw_output_contents.append(output.array(answer.rows.batch).tobytes())
        return response.SerializeToString()

    if written() != raw_response("mnist", "", ALL_OUTPUTS, answer):
        raise RuntimeError("the two ways write differently: this is a bug")
    return (
        (
            _microseconds(lambda: parse_infer(content, MODEL)),
            _microseconds(lambda: infer_response(asked, "mnist", answer)),
        ),
        (
            _microseconds(lambda: infer_request(ModelInferRequest.FromString(content), MODEL)),
            _microseconds(written),
        ),
    )


def _answer(images: int) -> Predictions:
    probabilities = np.random.default_rng(1).random((images, 10), np.float32)
    digits, novelties = probabilities.argmax(axis=1), 1 - probabilities.max(axis=1)
    batch = BatchRows(digits, novelties, probabilities, np.zeros(images, np.uint8))
    return Predictions(Rows(batch, 0, images, Timing(0.0, 0.0, images)), 2)


def _microseconds(call: Callable[[], object]) -> float:
    call()
    return min(timeit.repeat(call, number=CALLS, repeat=REPEATS, timer=time.process_time)) / CALLS * 1e6


if __name__ == "__main__":
    main()
