"""tritonclient over gRPC, blocking and for asyncio."""

import queue
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import aio

from tests.conformance.programs.calls import DIGITS, PICTURE, PIXELS, report

ADDRESS = sys.argv[1]
CLIENT = triton.InferenceServerClient(ADDRESS)


def tensor(images: Any) -> Any:
    given = triton.InferInput("pixels", images.shape, triton.np_to_triton_dtype(images.dtype))
    given.set_data_from_numpy(images)
    return given


def digits(result: Any) -> Any:
    return result.as_numpy("digit").ravel().tolist()


def infer(images: Any = PIXELS, **options: Any) -> Any:
    return digits(CLIENT.infer("mnist", [tensor(images)], **options))


def classes() -> int:
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    return int(CLIENT.infer("mnist", [tensor(PIXELS)], outputs=outputs).as_numpy("probabilities").size)


def from_a_callback() -> Any:
    seen: queue.Queue[Any] = queue.Queue()
    CLIENT.async_infer("mnist", [tensor(PIXELS)], callback=lambda result, error: seen.put(error or digits(result)))
    return seen.get(timeout=30)


def streamed() -> Any:
    seen: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(ADDRESS) as client:
        client.start_stream(callback=lambda result, error: seen.put(error or digits(result)))
        for number in range(2):
            client.async_stream_infer("mnist", [tensor(PIXELS)], request_id=str(number))
        return [seen.get(timeout=30) for _ in range(2)]


def status_of_an_unknown_model() -> str:
    try:
        CLIENT.infer("cats", [tensor(PIXELS)])
    except triton.InferenceServerException as error:
        return str(error.status())
    return "no error"


async def awaited() -> Any:
    async with aio.InferenceServerClient(ADDRESS) as client:
        return digits(await client.infer("mnist", [tensor(PIXELS)]))


async def awaited_stream() -> Any:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for _ in range(2):
            yield {"model_name": "mnist", "inputs": [tensor(PIXELS)]}

    async with aio.InferenceServerClient(ADDRESS) as client:
        return [digits(result) async for result, _ in client.stream_infer(requests())]


def tensor_names() -> list[str]:
    found = CLIENT.get_model_metadata("mnist")
    return sorted(each.name for each in [*found.inputs, *found.outputs])


if __name__ == "__main__":
    report(
        {
            "live": (CLIENT.is_server_live, True),
            "ready": (CLIENT.is_server_ready, True),
            "model ready": (lambda: CLIENT.is_model_ready("mnist"), True),
            "server metadata": (lambda: bool(CLIENT.get_server_metadata().extensions), True),
            "model metadata": (tensor_names, ["digit", "novelty", "pixels", "probabilities", "refused"]),
            "config": (lambda: CLIENT.get_model_config("mnist").config.name, "mnist"),
            "index": (lambda: {each.name for each in CLIENT.get_model_repository_index().models}, {"mnist"}),
            "statistics": (lambda: CLIENT.get_inference_statistics("mnist").model_stats[0].name, "mnist"),
            "infer UINT8": (infer, DIGITS),
            "infer FP32": (lambda: infer((PIXELS / 255).astype(np.float32)), DIGITS),
            "infer BYTES": (lambda: infer(np.array([PICTURE], object)), [3]),
            "classes": (classes, 6),
            "gzip": (lambda: infer(compression_algorithm="gzip"), DIGITS),
            "timeout": (lambda: infer(client_timeout=10.0), DIGITS),
            "async": (from_a_callback, DIGITS),
            "stream": (streamed, [DIGITS, DIGITS]),
            "asyncio": (awaited, DIGITS),
            "asyncio stream": (awaited_stream, [DIGITS, DIGITS]),
            "unknown model": (status_of_an_unknown_model, "StatusCode.NOT_FOUND"),
        }
    )
