"""tritonclient over HTTP, blocking and for asyncio."""

import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.http import aio
from tritonclient.utils import np_to_triton_dtype

from tests.conformance.programs.calls import DIGITS, PICTURE, PIXELS, report

ADDRESS = sys.argv[2]
CLIENT = triton.InferenceServerClient(ADDRESS)


def tensor(images: Any, is_binary: bool = True) -> Any:
    given = triton.InferInput("pixels", list(images.shape), np_to_triton_dtype(images.dtype))
    given.set_data_from_numpy(images, binary_data=is_binary)
    return given


def infer(images: Any = PIXELS, is_binary: bool = True, **options: Any) -> Any:
    outputs = [triton.InferRequestedOutput("digit", binary_data=is_binary)]
    result = CLIENT.infer("mnist", [tensor(images, is_binary)], outputs=outputs, **options)
    return result.as_numpy("digit").ravel().tolist()


def classes() -> int:
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    return int(CLIENT.infer("mnist", [tensor(PIXELS)], outputs=outputs).as_numpy("probabilities").size)


def from_a_thread() -> Any:
    return CLIENT.async_infer("mnist", [tensor(PIXELS)]).get_result().as_numpy("digit").ravel().tolist()


async def awaited() -> Any:
    async with aio.InferenceServerClient(ADDRESS) as client:
        return (await client.infer("mnist", [tensor(PIXELS)])).as_numpy("digit").ravel().tolist()


def status_of_an_unknown_model() -> str:
    try:
        CLIENT.infer("cats", [tensor(PIXELS)])
    except triton.InferenceServerException as error:
        return str(error.status())
    return "no error"


def tensor_names() -> list[str]:
    found = CLIENT.get_model_metadata("mnist")
    return sorted(each["name"] for each in [*found["inputs"], *found["outputs"]])


def packed(algorithm: str) -> Any:
    return infer(request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)


if __name__ == "__main__":
    report(
        {
            "live": (CLIENT.is_server_live, True),
            "ready": (CLIENT.is_server_ready, True),
            "model ready": (lambda: CLIENT.is_model_ready("mnist"), True),
            "server metadata": (lambda: bool(CLIENT.get_server_metadata()["extensions"]), True),
            "model metadata": (tensor_names, ["digit", "novelty", "pixels", "probabilities", "refused"]),
            "config": (lambda: CLIENT.get_model_config("mnist")["name"], "mnist"),
            "index": (lambda: {each["name"] for each in CLIENT.get_model_repository_index()}, {"mnist"}),
            "statistics": (lambda: CLIENT.get_inference_statistics("mnist")["model_stats"][0]["name"], "mnist"),
            "infer UINT8": (infer, DIGITS),
            "infer FP32": (lambda: infer((PIXELS / 255).astype(np.float32)), DIGITS),
            "infer BYTES": (lambda: infer(np.array([PICTURE], object)), [3]),
            "infer JSON": (lambda: infer(is_binary=False), DIGITS),
            "classes": (classes, 6),
            "gzip": (lambda: packed("gzip"), DIGITS),
            "deflate": (lambda: packed("deflate"), DIGITS),
            "async": (from_a_thread, DIGITS),
            "asyncio": (awaited, DIGITS),
            "unknown model": (status_of_an_unknown_model, "404"),
        }
    )
