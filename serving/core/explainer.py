"""The second use case: one image in, and how the network saw it out. Never at the cost of those who want digits.

1. One explanation at a time, in a thread that the kernel serves last; the event loop and every inference go first.
2. A handful may wait, with room for more than one client; beyond that callers are refused at once.
3. What matters is found by covering: a square of paper goes over the image, and all positions are one batch.
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
from serving.core.classifier import NEVER, Classifier, ImageInput, Predictions
from serving.errors import ExpiredError, ExplanationsFullError, NotExplainableError
from serving.models.graph_layers import Floats, Layer
from serving.models.repository import ModelVersion, Traced
from serving.predictions import Pixels

CAPACITY = 8
SIDE = 28
SQUARE = 4  # pixels of paper, each way
STEP = 2  # by which it moves
NICENESS = 10  # of the thread; the rest of the process has 0
RETRY_SECONDS = 0.5
TOLERANCE = 1e-3  # between the two graphs; they were compared when the version was loaded


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is told of one image."""

    predictions: Predictions  # of the one
    pixels: Pixels  # (1, 784)
    layers: list[Layer]
    values: Mapping[str, Floats]  # by name, (1, ...)
    importance: Floats  # (28, 28): by how much covering a pixel takes from the digit's lead, in logits


class Explainer:
    """Explains from start of the process to close()."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._admission = Admission(CAPACITY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain", initializer=_go_last)

    async def explain(self, image: ImageInput, caller: Caller, version: int, deadline: float) -> Explanation:
        """How the network sees `image`. `version`, `deadline` and `caller` as for Classifier.classify.

        Raises InvalidRequestError, UnknownVersionError, NotExplainableError, ExplanationsFullError, RateLimitedError,
        NotReadyError or ExpiredError.
        """
        served = self._classifier.served(version)
        _traced(served.version)  # refused before anything is read
        if not self._admission.admit(caller.name, 1):
            raise ExplanationsFullError(CAPACITY, RETRY_SECONDS)
        try:
            self._classifier.charge(caller, 1)
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(None if deadline == NEVER else deadline - time.monotonic()):
                    pixels, qualities = await self._classifier.pixels([image])
                    if served.batcher.is_closing:  # another version took its place meanwhile
                        served = self._classifier.served(version)
                    rows = await served.batcher.submit(pixels, deadline)  # with the others, and under the watchdog
                    predictions = Predictions(rows, served.version.version, qualities=qualities)
                    return await loop.run_in_executor(self._thread, _explain, served.version, pixels, predictions)
            except TimeoutError:
                raise ExpiredError from None
        finally:
            self._admission.release(caller.name, 1)

    async def wait_until_empty(self) -> None:
        """Returns when nobody waits for an explanation."""
        await self._admission.wait_until_empty()

    def close(self) -> None:
        """Begins no other one."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def covered(pixels: Pixels) -> Pixels:
    """The image (784,), as it is and then with each square covered, (1 + squares, 784)."""
    corners = range(0, SIDE - SQUARE + 1, STEP)
    images = np.repeat(pixels.reshape(1, SIDE, SIDE), 1 + len(corners) ** 2, axis=0)
    for number, (top, left) in enumerate(((top, left) for top in corners for left in corners), start=1):
        images[number, top : top + SQUARE, left : left + SQUARE] = 0
    return images.reshape(len(images), -1)


def importance(logits: Floats, digit: int) -> Floats:
    """(28, 28), from the logits (1 + squares, 10) of covered()'s images: the mean loss over a pixel's squares.

    Of the digit's lead over the next one: its probability hardly moves where it is near 1.
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


def _explain(version: ModelVersion, pixels: Pixels, predictions: Predictions) -> Explanation:
    traced = _traced(version)
    answers, values = traced.model.run(pixels)
    if not np.allclose(answers.probabilities, predictions.rows.probabilities, rtol=0, atol=TOLERANCE):
        raise RuntimeError("the graph that explains gives another answer than the one that serves: this is a bug")
    name = traced.layers[-1].output
    _, logits = traced.model.run(covered(pixels[0]), [name])
    matters = importance(logits[name], int(predictions.rows.digits[0]))
    return Explanation(predictions, pixels, traced.layers, values, matters)


def _traced(version: ModelVersion) -> Traced:
    if isinstance(version.traced, NotExplainableError):
        raise NotExplainableError(f"version {version.version} cannot be explained: {version.traced}")
    return version.traced


def _go_last() -> None:
    with suppress(OSError, AttributeError):  # a thread has a niceness of its own on Linux alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
