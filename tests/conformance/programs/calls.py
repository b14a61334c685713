"""What the programs share: digits to send, and one line of JSON with the outcome of each call.

Each program gets the server's gRPC address, its HTTP address, and the words that start its tool, if it has one.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
PICTURE = (ROOT / "samples/black-on-white-3.png").read_bytes()
RAW = (ROOT / "samples/raw-28x28-2.bin").read_bytes()

with np.load(ROOT / "tests/data/digits.npz") as _data:
    PIXELS = _data["pixels"][::40][:3]
    DIGITS = _data["label"][::40][:3].tolist()

# What is called, and the result it must have.
Call = tuple[Callable[[], object], object]


def report(calls: Mapping[str, Call]) -> None:
    """Makes the calls and prints `{"call": "ok" or the error}`. A call may return a coroutine."""
    print(json.dumps({name: _outcome(*call) for name, call in calls.items()}), flush=True)


def _outcome(call: Callable[[], object], expected: object) -> str:
    try:
        found = call()
        if inspect.iscoroutine(found):
            found = asyncio.run(found)
    except Exception as error:  # any error of any client is the finding
        return f"{type(error).__name__}: {error}"
    return "ok" if found == expected else f"expected {expected!r}, got {found!r}"
