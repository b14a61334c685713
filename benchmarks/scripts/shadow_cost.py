"""Processor time that a shadow adds to the thread that answers, for each request of one image.

Requests go through the classifier and a batcher whose model is a constant, so that little else varies; another process
reads what is sent. Rounds alternate between no shadow, a share, and all requests. The other processes' load shows in
the clock, not in the time of the thread.
"""

import argparse
import asyncio
import json
import multiprocessing
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.system.this_run import about_this_run
from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batcher import Batcher
from serving.core.candidates.shadow import Shadow
from serving.core.classifier import Classifier
from serving.core.decoders import Decoders
from serving.core.picture_decoder import PictureDecoder
from serving.core.registry import Registry, ServedModel
from serving.core.runner import LoopRunner
from serving.image.header import most_units
from serving.image.picture import ImageLimits
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import Pixels, Predictions
from serving.version_policy import Candidate

AT_ONCE = (1, 16)
REQUESTS = 640  # of a round
CALLER = Caller("ipv4:127.0.0.1:40000")
LIMITS = ImageLimits(2**20, 2**20)


class _Ignored:
    """Result that nobody looks at."""

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return False

    def set_result(self, predictions: Predictions, /) -> None:
        pass

    def set_exception(self, error: Exception, /) -> None:
        raise error


def main(arguments: Sequence[str]) -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks shadow_cost", description=__doc__)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args(arguments)
    print(
        json.dumps({**about_this_run(vars(options)), **asyncio.run(_measured(options.share, options.rounds))}, indent=2)
    )


async def _measured(share: float, rounds: int) -> dict[str, object]:
    pixels = np.load(Path(__file__).parents[2] / "tests/data/digits.npz")["pixels"][:1]
    shares = (0.0, share, 1.0)
    classifiers = {each: _classifier(each, pixels) for each in shares}
    found: dict[tuple[int, float], list[float]] = {}
    for _ in range(rounds):
        for at_once in AT_ONCE:
            for each in shares:
                seconds = await _seconds(classifiers[each], pixels, at_once)
                found.setdefault((at_once, each), []).append(1e6 * seconds)
    figures: dict[str, object] = {}
    for (at_once, each), values in found.items():
        more = sorted(one - other for one, other in zip(values, found[at_once, 0.0], strict=True))
        tenth = len(more) // 10
        figures[f"{at_once} at once, share {each:g}"] = {
            "microseconds a request": median(values),
            "more than without": median(more),
            "of that 80 % from": more[tenth],
            "to": more[-1 - tenth],
        }
    return figures


def _classifier(share: float, pixels: Pixels) -> Classifier:
    """Returns a classifier with a started batcher, and with a shadow where `share` is above 0."""
    metrics, registry = Metrics(CollectorRegistry()), Registry()
    model = ModelRepository(Path("models"), "mnist").load(0, lambda graph, _: OnnxSession(graph, "cpu", 1), 64)
    answers = {images: model.run(np.repeat(pixels, images, axis=0)) for images in AT_ONCE}
    batcher = Batcher(LoopRunner(lambda batch: answers[len(batch)]), metrics, 64)
    batcher.start()
    registry.serve([ServedModel(model, batcher, is_tuned=False)])
    shadow = None
    if share:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Forked: no thread of ours holds a lock yet. It ends with this process, which closes the other end.
        multiprocessing.get_context("fork").Process(target=_read, args=(ours, theirs), daemon=True).start()
        shadow = Shadow(ours.fileno(), Candidate(model.version + 1, share), registry, metrics)
    pictures = PictureDecoder(LIMITS, Decoders(1, most_units(LIMITS)), metrics)
    return Classifier(registry, Admission(4096), RateLimits(), pictures, 1024, metrics, shadow=shadow)


def _read(ours: socket.socket, theirs: socket.socket) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler raises, which would be shown at the end
    ours.close()
    while theirs.recv(2**16):
        pass


async def _seconds(classifier: Classifier, pixels: Pixels, at_once: int) -> float:
    """Returns the thread's processor time of a request."""
    began = time.thread_time()
    for _ in range(REQUESTS // at_once):
        for _ in range(at_once):
            classifier.begin(pixels, CALLER, _Ignored())
        await asyncio.sleep(0)  # the batch runs
        await asyncio.sleep(0)  # what was chosen is sent
    return (time.thread_time() - began) / REQUESTS
