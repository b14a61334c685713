"""A user's program, in a process and an environment of its own: makes every kind of call, prints the results as JSON.

`python client_program.py HOST:PORT PICTURE [MODULE ...]`: the modules are imported first, in this order. With
tritonclient.grpc among them, the picture's pixels go through that client, too.
"""

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any

address, picture = sys.argv[1], Path(sys.argv[2])
for module in sys.argv[3:]:
    importlib.import_module(module)

from mnist_digits import AsyncDigitClient, CallError, DigitClient, ImageError  # noqa: E402  # the order is the point


def blocking() -> dict[str, Any]:
    with DigitClient(address) as client:
        explanation = client.explain(picture)
        seen = {
            "digit": client.classify([picture])[0].digit,
            "digits": [prediction.digit for prediction in client.classify_many([picture] * 130)],
            "model": client.get_model().name,
            "read": client.read(picture, layout="digit").text,
            "explained": explanation.prediction.digit,
            "pixels": explanation.pixels.shape,
            "importance": explanation.importance.shape,
            "kinds": [layer.kind for layer in explanation.layers],
            "bad picture": code_of(lambda: client.classify([b"no picture"])),
            "late": code_of(lambda: client.classify([picture], timeout_seconds=0)),
            "bad image": code_of(lambda: list(client.classify_many([picture, b"no picture"]))),
        }
    return seen | {"closed": [code_of(lambda: client.classify([picture])), code_of(lambda: client.explain(picture))]}


async def waiting() -> dict[str, Any]:
    async with AsyncDigitClient(address) as client:
        answers = await asyncio.gather(*(client.classify([picture]) for _ in range(100)))
        return {
            "tasks": [prediction.digit for [prediction] in answers],
            "many": [prediction.digit async for prediction in client.classify_many([picture] * 130)],
            "read": (await client.read(picture, layout="digit")).text,
            "explained": (await client.explain(picture, with_kernels=False)).prediction.digit,
            "model": (await client.get_model()).name,
        }


def code_of(call: Any) -> str:
    try:
        call()
    except CallError as error:
        return error.code
    except ImageError as error:
        return f"{error.index}: {type(error.__cause__).__name__}"
    return "OK"


def tritons() -> int:
    triton = importlib.import_module("tritonclient.grpc")
    with DigitClient(address) as client:
        pixels = client.explain(picture).pixels.reshape(1, 784)
    tensor = triton.InferInput("pixels", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    with triton.InferenceServerClient(address) as client:
        return int(client.infer("mnist", [tensor]).as_numpy("digit").item())


results: dict[str, Any] = {"blocking": blocking(), "asyncio": asyncio.run(waiting())}
if "tritonclient.grpc" in sys.argv:
    results["triton"] = tritons()
print(json.dumps(results))
