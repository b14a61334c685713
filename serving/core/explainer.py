"""Explain use case: one image in, the output of every layer out. It never slows down classification.

1. Explanations run one at a time, in a thread of low priority: the kernel runs the event loop and inference first.
2. A few requests may wait, of more than one client. Beyond that requests are refused at once.
3. Importance is measured by occlusion: a square of paper covers the image at each position, all in one batch (Zeiler
   and Fergus 2014, arXiv 1311.2901). It needs no gradients, which an ONNX graph does not have (decision 0035).
"""

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from serving.auth.api_keys import Caller
from serving.core.admission import Admission
from serving.core.classifier import Classifier
from serving.core.picture_decoder import ImageInput, before
from serving.core.registry import Registry
from serving.core.results import note_batch
from serving.errors import ExplanationsFullError, NotExplainableError
from serving.models.graph_layers import UNSURE, Layer
from serving.models.loaded_model import ExplainingGraph, LoadedModel
from serving.predictions import SIDE, Floats, Pixels, Predictions
from serving.traces.request_trace import ANSWER, DECODE_QUEUE, EXPLAIN, QUEUE

CAPACITY = 8  # requests that run or wait; one takes about half a second on a busy processor
OCCLUSION_SIDE = 4  # pixels of the square of paper
OCCLUSION_STRIDE = 2  # pixels between its positions: 13 x 13 of them
NICENESS = 10  # of the thread, while the rest of the process has 0; 19 makes explanations five times slower (0035)
RETRY_SECONDS = 0.5  # that a refused client should wait
TOLERANCE = 1e-3  # between probabilities of the two graphs; checks.py compared them when the version was loaded


@dataclass(frozen=True, slots=True)
class Explanation:
    """Prediction for one image, with the output of every layer and the importance of every pixel."""

    predictions: Predictions  # of one image
    pixels: Pixels  # (1, 784) uint8
    layers: list[Layer]  # in the graph's order
    values: Mapping[str, Floats]  # by the names that `layers` hold, (1, ...)
    importance: Floats  # (28, 28): the loss of the digit's lead when a pixel is covered, in logits


class Explainer:
    """Runs explanations until close(). Used from the event loop alone."""

    def __init__(self, registry: Registry, classifier: Classifier) -> None:
        self._registry = registry
        self._classifier = classifier
        self._admission = Admission(CAPACITY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain", initializer=_lower_priority)

    async def explain(self, image: ImageInput, caller: Caller, version: int, deadline: float) -> Explanation:
        """Explains how the network sees `image`. `version`, `deadline` and `caller` as for Classifier.classify.

        Raises InvalidRequestError, UnknownVersionError, NotExplainableError, ExplanationsFullError, RateLimitedError,
        NotReadyError or ExpiredError.
        """
        served = self._registry.served(version)
        _explaining_graph(served.model)  # raises before a place is taken and anything is decoded
        trace = caller.trace
        if trace is not None:
            trace.admit(served.model.name, served.model.version, images=1)
        if not self._admission.admit(caller.name, 1):
            raise ExplanationsFullError(CAPACITY, RETRY_SECONDS)
        try:
            self._classifier.charge(caller, 1)
            loop = asyncio.get_running_loop()
            costs = self._classifier.pictures.costs([image])
            if trace is not None and costs:
                trace.enter(DECODE_QUEUE)
            async with before(deadline):
                pixels, remarks = await self._classifier.pictures.decode([image], costs, caller, deadline)
                if served.batcher.is_closing:  # another version replaced it while the picture was decoded
                    served = self._registry.served(version)
                # By the batcher, not in the thread: the prediction is what classify would return, and the watchdog
                # notices when the model hangs.
                if trace is not None:
                    trace.enter(QUEUE)
                predicted = await served.batcher.submit(pixels, deadline)
                if trace is not None:
                    note_batch(trace, predicted, EXPLAIN)
                predictions = self._classifier.with_remarks(predicted, remarks)
                found = await loop.run_in_executor(self._thread, _explain, served.model, pixels, predictions)
                self._classifier.record(caller, pixels, predictions)
                if trace is not None:
                    trace.enter(ANSWER)
                return found
        finally:
            self._admission.release(caller.name, 1)

    async def wait_until_empty(self) -> None:
        """Returns when no request runs or waits for an explanation."""
        await self._admission.wait_until_empty()

    def close(self) -> None:
        """Cancels the explanations that have not begun. Does not wait for one that has."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def occluded(pixels: Pixels) -> Pixels:
    """Returns the image, (784,), followed by a copy for each occluded square: (1 + squares, 784)."""
    corners = range(0, SIDE - OCCLUSION_SIDE + 1, OCCLUSION_STRIDE)
    images = np.repeat(pixels.reshape(1, SIDE, SIDE), 1 + len(corners) ** 2, axis=0)
    for number, (top, left) in enumerate(((top, left) for top in corners for left in corners), start=1):
        images[number, top : top + OCCLUSION_SIDE, left : left + OCCLUSION_SIDE] = 0  # paper
    return images.reshape(len(images), -1)


def importance(logits: Floats, digit: int) -> Floats:
    """Returns the importance of each pixel, (28, 28), from the logits (1 + squares, 10) of occluded()'s images.

    The importance is the mean, over the squares that cover a pixel, of what the digit loses of its lead: the difference
    between its logit and the highest other one. Probabilities hardly move where they are near 1; the lead does.
    """
    leads = logits[:, digit] - np.delete(logits, digit, axis=1).max(axis=1)
    corners = range(0, SIDE - OCCLUSION_SIDE + 1, OCCLUSION_STRIDE)
    losses = (leads[0] - leads[1:]).reshape(len(corners), len(corners))
    total, squares = np.zeros((2, SIDE, SIDE), np.float32)  # near the border fewer squares cover a pixel
    for row, top in enumerate(corners):
        for column, left in enumerate(corners):
            square = np.s_[top : top + OCCLUSION_SIDE, left : left + OCCLUSION_SIDE]
            total[square] += losses[row, column]
            squares[square] += 1
    return total / squares


def _explain(model: LoadedModel, pixels: Pixels, predictions: Predictions) -> Explanation:
    graph = _explaining_graph(model)
    explained, values = graph.session.run(pixels)
    if graph.second is not None and values[UNSURE][0]:
        graph = graph.second
        explained, values = graph.session.run(pixels)
    explained.refuse(pixels, model.novelty_threshold)  # as the served prediction was: the same stands for no number
    # The graphs agreed at load. Here the served prediction is compared: the layers shown must belong to its digit.
    if not np.allclose(explained.probabilities, predictions.probabilities, rtol=0, atol=TOLERANCE):
        if UNSURE in values or graph is not model.explaining:
            raise NotExplainableError(
                f"version {model.version} cannot be explained for this image: it is a cascade, and rounding decides "
                "which of its networks answers"
            )
        raise RuntimeError("the graph that explains gives another answer than the one that serves: this is a bug")
    name = graph.layers[-1].output  # the logits: read_layers() ends there
    _, logits = graph.session.run(
        occluded(pixels[0]), [name]
    )  # these alone: all values of 170 images would take 32 to 142 MiB
    return Explanation(predictions, pixels, graph.layers, values, importance(logits[name], int(predictions.digits[0])))


def _explaining_graph(model: LoadedModel) -> ExplainingGraph:
    if isinstance(model.explaining, NotExplainableError):
        raise NotExplainableError(f"version {model.version} cannot be explained: {model.explaining}")
    return model.explaining


def _lower_priority() -> None:
    with suppress(OSError, AttributeError):  # only Linux has a niceness for each thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
