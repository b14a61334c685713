"""The explain use case: one image in, the output of every layer out. It never slows down classification.

1. One explanation at a time, in a thread that the kernel serves last; the event loop and every inference go first.
2. A handful may wait, with room for more than one client; beyond that callers are refused at once.
3. Importance is measured by occlusion: a square of paper covers the image at each position, all in one batch.
"""

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from serving.auth.api_keys import Caller
from serving.core.admission import Admission
from serving.core.classifier import NO_DEADLINE, Classifier, ImageInput
from serving.core.registry import Registry
from serving.errors import ExpiredError, ExplanationsFullError, NotExplainableError
from serving.models.graph_layers import Layer
from serving.models.loaded_model import ExplainingGraph, LoadedModel
from serving.predictions import SIDE, Floats, Pixels, Predictions

CAPACITY = 8
SQUARE = 4  # pixels of paper, each way
STEP = 2  # by which it moves
NICENESS = 10  # of the thread; the rest of the process has 0
RETRY_SECONDS = 0.5
TOLERANCE = 1e-3  # between the two graphs; they were compared when the version was loaded


@dataclass(frozen=True, slots=True)
class Explanation:
    """One image's prediction, with the output of every layer."""

    predictions: Predictions  # of this image
    pixels: Pixels  # (1, 784)
    layers: list[Layer]
    values: Mapping[str, Floats]  # by name, (1, ...)
    importance: Floats  # (28, 28): by how much covering a pixel takes from the digit's lead, in logits


class Explainer:
    """Explains from the start of the process to close()."""

    def __init__(self, registry: Registry, classifier: Classifier) -> None:
        self._registry = registry
        self._classifier = classifier
        self._admission = Admission(CAPACITY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain", initializer=_go_last)

    async def explain(self, image: ImageInput, caller: Caller, version: int, deadline: float) -> Explanation:
        """Explains how the network sees `image`. `version`, `deadline` and `caller` as for Classifier.classify.

        Raises InvalidRequestError, UnknownVersionError, NotExplainableError, ExplanationsFullError, RateLimitedError,
        NotReadyError or ExpiredError.
        """
        served = self._registry.served(version)
        _explaining_graph(served.model)  # refuses before anything is decoded
        if not self._admission.admit(caller.name, 1):
            raise ExplanationsFullError(CAPACITY, RETRY_SECONDS)
        try:
            self._classifier.charge(caller, 1)
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(None if deadline == NO_DEADLINE else deadline - time.monotonic()):
                    pixels, remarks = await self._classifier.decode([image])
                    if served.batcher.is_closing:  # another version took its place meanwhile
                        served = self._registry.served(version)
                    # With the other requests, and under the watchdog.
                    predictions = (await served.batcher.submit(pixels, deadline))._replace(remarks=remarks)
                    return await loop.run_in_executor(self._thread, _explain, served.model, pixels, predictions)
            except TimeoutError:
                raise ExpiredError from None
        finally:
            self._admission.release(caller.name, 1)

    async def wait_until_empty(self) -> None:
        """Returns when no request waits for an explanation."""
        await self._admission.wait_until_empty()

    def close(self) -> None:
        """Starts no other explanation."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def covered(pixels: Pixels) -> Pixels:
    """Returns the image (784,) as it is, then with each square covered: (1 + squares, 784)."""
    corners = range(0, SIDE - SQUARE + 1, STEP)
    images = np.repeat(pixels.reshape(1, SIDE, SIDE), 1 + len(corners) ** 2, axis=0)
    for number, (top, left) in enumerate(((top, left) for top in corners for left in corners), start=1):
        images[number, top : top + SQUARE, left : left + SQUARE] = 0
    return images.reshape(len(images), -1)


def importance(logits: Floats, digit: int) -> Floats:
    """Returns the importance of each pixel, (28, 28), from the logits (1 + squares, 10) of covered()'s images.

    It is the mean loss, over the squares that cover a pixel, of the digit's lead over the next one. A lead, because the
    probability hardly moves where it is near 1.
    """
    leads = logits[:, digit] - np.delete(logits, digit, axis=1).max(axis=1)
    corners = range(0, SIDE - SQUARE + 1, STEP)
    losses = (leads[0] - leads[1:]).reshape(len(corners), len(corners))
    total, squares = np.zeros((2, SIDE, SIDE), np.float32)
    for row, top in enumerate(corners):
        for column, left in enumerate(corners):
            total[top : top + SQUARE, left : left + SQUARE] += losses[row, column]
            squares[top : top + SQUARE, left : left + SQUARE] += 1
    return total / squares


def _explain(model: LoadedModel, pixels: Pixels, predictions: Predictions) -> Explanation:
    graph = _explaining_graph(model)
    explained, values = graph.session.run(pixels)
    if not np.allclose(explained.probabilities, predictions.probabilities, rtol=0, atol=TOLERANCE):
        raise RuntimeError("the graph that explains gives another answer than the one that serves: this is a bug")
    name = graph.layers[-1].output
    _, logits = graph.session.run(covered(pixels[0]), [name])
    return Explanation(predictions, pixels, graph.layers, values, importance(logits[name], int(predictions.digits[0])))


def _explaining_graph(model: LoadedModel) -> ExplainingGraph:
    if isinstance(model.explaining, NotExplainableError):
        raise NotExplainableError(f"version {model.version} cannot be explained: {model.explaining}")
    return model.explaining


def _go_last() -> None:
    with suppress(OSError, AttributeError):  # a thread has a niceness of its own on Linux alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
