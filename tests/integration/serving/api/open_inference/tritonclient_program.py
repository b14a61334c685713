"""What a user of tritonclient does, in a process and an environment of its own: prints what it saw as JSON.

`python tritonclient_program.py HOST:PORT SLOW_HOST:PORT PICTURE`: the slow server adds a second to each answer. A
digit d is an image with ink in pixel d alone, as the tiny model reads it. An error becomes its status and message.
"""

import asyncio
import json
import queue
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import aio, service_pb2

ADDRESS, SLOW_ADDRESS, PICTURE = sys.argv[1:]
DIGITS = [3, 1, 4]
CLIENT = triton.InferenceServerClient(ADDRESS)
SHAPES: dict[str, tuple[int, ...]] = {
    "n x 784": (3, 784),
    "n x 28 x 28": (3, 28, 28),
    "channel last": (3, 28, 28, 1),
    "channel first": (3, 1, 28, 28),
    "784": (784,),
    "28 x 28": (28, 28),
}
SCALED = (np.float16, np.float32, np.float64)
WHOLE = (np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.int32, np.int64)


def digits(dtype: Any = np.uint8, shape: tuple[int, ...] = (3, 784)) -> Any:
    digits = DIGITS if shape[0] == 3 else DIGITS[:1]
    images = np.zeros((len(digits), 784), dtype)
    images[range(len(digits)), digits] = 1 if np.issubdtype(dtype, np.floating) else 255
    return images.reshape(shape)


def tensor(images: Any, name: str = "pixels") -> Any:
    datatype = "BYTES" if images.dtype == object else triton.np_to_triton_dtype(images.dtype)
    given = triton.InferInput(name, list(images.shape), datatype)
    given.set_data_from_numpy(images)
    return given


def infer(images: Any, outputs: Any = None, model: str = "mnist", **options: Any) -> Any:
    return CLIENT.infer(model, [tensor(images)], outputs=outputs, **options)


def arrays(result: Any) -> dict[str, Any]:
    names = [output.name for output in result.get_response().outputs]
    return {name: plain(result.as_numpy(name)) for name in names}


def plain(array: Any) -> Any:
    if array.dtype == object:
        return [[text.decode() for text in row] for row in array]
    return (array[:, 0] if array.shape[1] == 1 else array).tolist()


def shapes() -> Any:
    result = infer(digits())
    return {output.name: list(result.as_numpy(output.name).shape) for output in result.get_response().outputs}


def typed(field: str, datatype: str, values: list[Any]) -> Any:
    request = service_pb2.ModelInferRequest(model_name="mnist", id="typed")
    given = request.inputs.add(name="pixels", datatype=datatype, shape=[3, 784])
    getattr(given.contents, field).extend(values)
    response = CLIENT._client_stub.ModelInfer(request)
    found = {output.name: output.contents for output in response.outputs}
    return {
        "raw": len(response.raw_output_contents),
        "id": response.id,
        "digit": list(found["digit"].int64_contents),
        "refused": list(found["refused"].bool_contents),
        "probabilities": len(found["probabilities"].fp32_contents),
    }


def metadata() -> Any:
    found = CLIENT.get_model_metadata("mnist")
    tensors = [(t.name, t.datatype, list(t.shape)) for t in [*found.inputs, *found.outputs]]
    return {"versions": list(found.versions), "platform": found.platform, "tensors": tensors}


def statistics() -> Any:
    before = CLIENT.get_inference_statistics("mnist")
    infer(digits())
    outcome(lambda: infer(np.zeros(1, np.uint8)))
    after = CLIENT.get_inference_statistics()
    return [counts(found.model_stats[0]) for found in (before, after)]


def counts(found: Any) -> dict[str, int]:
    stats = found.inference_stats
    return {
        "images": found.inference_count,
        "batches": found.execution_count,
        "success": stats.success.count,
        "success ns": stats.success.ns,
        "fail": stats.fail.count,
        "queue": stats.queue.count,
        "input": stats.compute_input.count,
        "infer": stats.compute_infer.count,
        "output": stats.compute_output.count,
        "infer ns": stats.compute_infer.ns,
        "last": found.last_inference,
        "of 4 images": sum(each.compute_infer.count for each in found.batch_stats if each.batch_size == 4),
    }


def streamed() -> Any:
    """Three requests of a stream, of which the second fails."""
    seen: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(ADDRESS) as client:
        client.start_stream(callback=lambda result, error: seen.put((result, error)))
        for number, images in enumerate((digits(), np.zeros((1, 3), np.uint8), digits())):
            wish = number == 2
            client.async_stream_infer(
                "mnist", [tensor(images)], request_id=str(number), enable_empty_final_response=wish
            )
        answers = [seen.get(timeout=30) for _ in range(3)]
        client.stop_stream()
    return [
        str(error)
        if error
        else {
            "id": result.get_response().id,
            "digit": plain(result.as_numpy("digit")),
            "final": "triton_final_response" in result.get_response().parameters,
        }
        for result, error in answers
    ]


async def streamed_by_asyncio() -> Any:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(5):
            yield {"model_name": "mnist", "inputs": [tensor(digits())], "request_id": str(number)}

    async with aio.InferenceServerClient(ADDRESS) as client:
        answers = [answer async for answer in client.stream_infer(requests())]
        return [(result.get_response().id, plain(result.as_numpy("digit")), error) for result, error in answers]


def load_with_a_model() -> Any:
    return CLIENT.load_model("mnist", config=json.dumps({"backend": "python"}))


def load_with_files() -> Any:
    return CLIENT.load_model("mnist", config="{}", files={"file:1/model.onnx": b"x"})


def pictures() -> Any:
    file = Path(PICTURE).read_bytes()
    return arrays(infer(np.array([file, file], object)))


async def from_asyncio() -> Any:
    async with aio.InferenceServerClient(ADDRESS) as client:
        results = await asyncio.gather(*(client.infer("mnist", [tensor(digits())]) for _ in range(8)))
        return [plain(result.as_numpy("digit")) for result in results]


def requested(*names: str) -> Any:
    return [triton.InferRequestedOutput(name) for name in names]


def digits_read(dtype: Any = np.uint8, shape: tuple[int, ...] = (3, 784)) -> Any:
    return plain(infer(digits(dtype, shape)).as_numpy("digit"))


def late() -> Any:
    with triton.InferenceServerClient(SLOW_ADDRESS) as client:
        return client.infer("mnist", [tensor(digits())], client_timeout=0.1)


def shared_memory() -> Any:
    given = triton.InferInput("pixels", [1, 784], "UINT8")
    given.set_shared_memory("region", 784)
    return CLIENT.infer("mnist", [given])


CASES: dict[str, Callable[[], Any]] = {
    "is live": lambda: CLIENT.is_server_live(),
    "is ready": lambda: CLIENT.is_server_ready(),
    "model is ready": lambda: CLIENT.is_model_ready("mnist", "1"),
    "server metadata": lambda: CLIENT.get_server_metadata(as_json=True),
    "model metadata": metadata,
    "all outputs": lambda: arrays(infer(digits())),
    "two outputs": lambda: list(arrays(infer(digits(), requested("novelty", "digit")))),
    "id": lambda: infer(digits(), request_id="request 7").get_response().id,
    "version": lambda: infer(digits(), model_version="1").get_response().model_version,
    "patience": lambda: arrays(infer(digits(), timeout=10_000_000, client_timeout=10, priority=1))["digit"],
    "classes": lambda: arrays(infer(digits(), [triton.InferRequestedOutput("probabilities", class_count=2)])),
    "pictures": pictures,
    "asyncio": lambda: asyncio.run(from_asyncio()),
    "typed UINT8": lambda: typed("uint_contents", "UINT8", digits().ravel().tolist()),
    "typed FP32": lambda: typed("fp32_contents", "FP32", digits(np.float32).ravel().tolist()),
    "typed INT64": lambda: typed("int64_contents", "INT64", digits().ravel().tolist()),
    **{f"shape {name}": partial(digits_read, shape=shape) for name, shape in SHAPES.items()},
    **{f"datatype {dtype.__name__}": partial(digits_read, dtype) for dtype in (*SCALED, *WHOLE)},
    "unscaled": lambda: infer(digits(np.float32) * 255),
    "not a number": lambda: infer(digits(np.float32) * np.float32("nan")),
    "too large": lambda: infer(digits(np.int32) + 1),
    "unknown model": lambda: infer(digits(), model="cats"),
    "unknown version": lambda: infer(digits(), model_version="9"),
    "unknown model's readiness": lambda: CLIENT.is_model_ready("cats"),
    "unknown output": lambda: infer(digits(), requested("logits")),
    "unknown input": lambda: CLIENT.infer("mnist", [tensor(digits(), "image")]),
    "no input": lambda: CLIENT.infer("mnist", []),
    "wrong shape": lambda: infer(np.zeros((2, 32, 32), np.uint8)),
    "classes of digits": lambda: infer(digits(), [triton.InferRequestedOutput("digit", class_count=2)]),
    "shared memory": shared_memory,
    "no picture": lambda: infer(np.array([b"GIF89a"], object)),
    "late": late,
    "configuration": lambda: CLIENT.get_model_config("mnist", as_json=True)["config"],
    "unknown model's configuration": lambda: CLIENT.get_model_config("cats"),
    "index": lambda: CLIENT.get_model_repository_index(as_json=True)["models"],
    "statistics": statistics,
    "shapes": shapes,
    "stream": streamed,
    "stream by asyncio": lambda: asyncio.run(streamed_by_asyncio()),
    "load": lambda: CLIENT.load_model("mnist"),
    "load with a configuration": load_with_a_model,
    "load with files": load_with_files,
    "unload": lambda: CLIENT.unload_model("mnist"),
    "unknown version's readiness": lambda: CLIENT.is_model_ready("mnist", "9"),
    "trace settings": lambda: CLIENT.get_trace_settings("mnist", as_json=True)["settings"]["trace_level"],
    "new trace settings": lambda: CLIENT.update_trace_settings("mnist", {"trace_level": ["TIMESTAMPS"]}),
    "log settings": lambda: CLIENT.get_log_settings(as_json=True)["settings"]["log_info"],
    "new log settings": lambda: CLIENT.update_log_settings({"log_verbose_level": 1}),
    "regions": lambda: CLIENT.get_system_shared_memory_status(as_json=True).get("regions", {}),
    "regions of a card": lambda: CLIENT.get_cuda_shared_memory_status(as_json=True).get("regions", {}),
    "new region": lambda: CLIENT.register_system_shared_memory("region", "/region", 784),
    "new region of a card": lambda: CLIENT.register_cuda_shared_memory("region", b"aGFuZGxl", 0, 784),
    "no region any more": lambda: CLIENT.unregister_system_shared_memory(),
    "no region of a card any more": lambda: CLIENT.unregister_cuda_shared_memory("region"),
}


def outcome(case: Callable[[], Any]) -> Any:
    try:
        return case()
    except triton.InferenceServerException as error:
        return {"status": str(error.status()).removeprefix("StatusCode."), "message": error.message()}


if __name__ == "__main__":
    print(json.dumps({name: outcome(case) for name, case in CASES.items()}))
