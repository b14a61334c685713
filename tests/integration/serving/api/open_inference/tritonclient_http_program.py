"""What a user of tritonclient does over HTTP, in a process and an environment of its own: prints what it saw as JSON.

`python tritonclient_http_program.py HOST:PORT PICTURE`. Digits are made as in tritonclient_program.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.http import aio
from tritonclient.utils import np_to_triton_dtype

ADDRESS, PICTURE = sys.argv[1:]
DIGITS = [3, 1, 4]
CLIENT = triton.InferenceServerClient(ADDRESS, concurrency=4)
DTYPES = (np.float16, np.float32, np.float64, np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.int32, np.int64)


def digits(dtype: Any = np.uint8) -> Any:
    images = np.zeros((3, 784), dtype)
    images[range(3), DIGITS] = 1 if np.issubdtype(dtype, np.floating) else 255
    return images


def tensor(images: Any, is_binary: bool, name: str = "pixels") -> Any:
    datatype = str(np_to_triton_dtype(images.dtype))
    given = triton.InferInput(name, list(images.shape), datatype)
    given.set_data_from_numpy(images, binary_data=is_binary)
    return given


def infer(
    images: Any,
    *,
    is_binary: bool = True,
    answer_is_binary: bool = True,
    names: tuple[str, ...] = ("digit",),
    **options: Any,
) -> Any:
    outputs = [triton.InferRequestedOutput(name, binary_data=answer_is_binary) for name in names]
    return CLIENT.infer("mnist", [tensor(images, is_binary)], outputs=outputs or None, **options)


def read(images: Any, **options: Any) -> Any:
    return infer(images, **options).as_numpy("digit").ravel().tolist()


def every_output() -> Any:
    result = infer(digits(), names=())
    names = [output["name"] for output in result.get_response()["outputs"]]
    return {name: list(result.as_numpy(name).shape) for name in names}


def classes() -> Any:
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    found = CLIENT.infer("mnist", [tensor(digits(), True)], outputs=outputs).as_numpy("probabilities")
    return [[text.decode() for text in row] for row in found]


def pictures(is_binary: bool) -> Any:
    file = Path(PICTURE).read_bytes()
    return infer(np.array([file], object), is_binary=is_binary).as_numpy("digit").ravel().tolist()


def from_many() -> Any:
    calls = [CLIENT.async_infer("mnist", [tensor(digits(), True)]) for _ in range(8)]
    return [call.get_result().as_numpy("digit").ravel().tolist() for call in calls]


async def from_asyncio() -> Any:
    async with aio.InferenceServerClient(ADDRESS) as client:
        results = await asyncio.gather(*(client.infer("mnist", [tensor(digits(), True)]) for _ in range(8)))
        return [result.as_numpy("digit").ravel().tolist() for result in results]


async def described_by_asyncio() -> Any:
    async with aio.InferenceServerClient(ADDRESS) as client:
        return [
            await client.is_server_live(),
            await client.is_model_ready("mnist"),
            await client.is_model_ready("cats"),
        ]


def statistics() -> Any:
    before = CLIENT.get_inference_statistics("mnist")["model_stats"][0]
    read(digits())
    after = CLIENT.get_inference_statistics()["model_stats"][0]
    stages = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    return [after["inference_stats"][each]["count"] - before["inference_stats"][each]["count"] for each in stages]


def shared_memory() -> Any:
    given = triton.InferInput("pixels", [1, 784], "UINT8")
    given.set_shared_memory("region", 784)
    return CLIENT.infer("mnist", [given])


CASES: dict[str, Callable[[], Any]] = {
    "is live": lambda: CLIENT.is_server_live(),
    "is ready": lambda: CLIENT.is_server_ready(),
    "model is ready": lambda: CLIENT.is_model_ready("mnist", "1"),
    "unknown model's readiness": lambda: CLIENT.is_model_ready("cats"),
    "unknown version's readiness": lambda: CLIENT.is_model_ready("mnist", "9"),
    "server metadata": lambda: CLIENT.get_server_metadata(),
    "model metadata": lambda: CLIENT.get_model_metadata("mnist"),
    "configuration": lambda: CLIENT.get_model_config("mnist", "1"),
    "index": lambda: CLIENT.get_model_repository_index(),
    "statistics": statistics,
    "every output": every_output,
    "binary": lambda: read(digits()),
    "json": lambda: read(digits(), is_binary=False, answer_is_binary=False),
    "json in, binary out": lambda: read(digits(), is_binary=False),
    "binary in, json out": lambda: read(digits(), answer_is_binary=False),
    "gzip": lambda: read(digits(), request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
    "deflate": lambda: read(
        digits(), request_compression_algorithm="deflate", response_compression_algorithm="deflate"
    ),
    "id": lambda: infer(digits(), request_id="request 7").get_response()["id"],
    "version": lambda: infer(digits(), model_version="1").get_response()["model_version"],
    "patience": lambda: read(digits(), timeout=10_000_000, priority=1),
    "classes": classes,
    "pictures": lambda: pictures(True),
    "async": from_many,
    "asyncio": lambda: asyncio.run(from_asyncio()),
    "described by asyncio": lambda: asyncio.run(described_by_asyncio()),
    **{f"datatype {dtype.__name__}": partial(lambda dtype: read(digits(dtype)), dtype) for dtype in DTYPES},
    "load": lambda: CLIENT.load_model("mnist"),
    "load with a configuration": lambda: CLIENT.load_model("mnist", config="{}"),
    "unload": lambda: CLIENT.unload_model("mnist"),
    "trace settings": lambda: CLIENT.get_trace_settings("mnist")["trace_level"],
    "new trace settings": lambda: CLIENT.update_trace_settings("mnist", {"trace_level": ["TIMESTAMPS"]}),
    "log settings": lambda: CLIENT.get_log_settings()["log_info"],
    "new log settings": lambda: CLIENT.update_log_settings({"log_verbose_level": 1}),
    "regions": lambda: CLIENT.get_system_shared_memory_status(),
    "regions of a card": lambda: CLIENT.get_cuda_shared_memory_status(),
    "new region": lambda: CLIENT.register_system_shared_memory("region", "/region", 784),
    "no region any more": lambda: CLIENT.unregister_system_shared_memory(),
    "no region of a card any more": lambda: CLIENT.unregister_cuda_shared_memory("region"),
    "unknown model": lambda: CLIENT.infer("cats", [tensor(digits(), True)]),
    "unknown version": lambda: infer(digits(), model_version="9"),
    "unscaled": lambda: infer(digits(np.float32) * 255),
    "unscaled json": lambda: infer(digits(np.float32) * 255, is_binary=False),
    "not a number": lambda: infer(digits(np.float32) * np.float32("nan")),
    "unknown output": lambda: infer(digits(), names=("logits",)),
    "unknown input": lambda: CLIENT.infer("mnist", [tensor(digits(), True, "image")]),
    "wrong shape": lambda: infer(np.zeros((2, 32, 32), np.uint8)),
    "shared memory": shared_memory,
    "no picture": lambda: infer(np.array([b"GIF89a"], object)),
}


def outcome(case: Callable[[], Any]) -> Any:
    try:
        return case()
    except triton.InferenceServerException as error:
        return {"status": str(error.status()), "message": error.message()}


if __name__ == "__main__":
    print(json.dumps({name: outcome(case) for name, case in CASES.items()}))
