"""Runs the candidate on answered requests, counts where the two versions differ, and which one was right."""

import time
from collections import OrderedDict
from collections.abc import Callable

from serving.predictions import BatchPredictions, Pixels
from serving.shadow.counts import ShadowCounts
from serving.shadow.messages import NO_KEY, REFUSED, Answered, Truth, answers_of

MOST_REMEMBERED = 16_384  # images whose two answers are kept for feedback, without their pixels

RunModel = Callable[[Pixels], BatchPredictions]


class Comparer:
    """Compares the answers of one candidate with those of the served version."""

    def __init__(self, counts: ShadowCounts, processor_time: Callable[[], float] = time.thread_time) -> None:
        """`processor_time`: of the calling thread, in seconds; for tests."""
        self._counts = counts
        self._processor_time = processor_time
        self._remembered: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()  # served and candidate's, by key
        self._images = 0  # of those
        self._version = 0  # that answered them

    def compare(self, answered: Answered, run: RunModel | None) -> Exception | None:
        """Counts a request. `run`: of the candidate; None: it is not loaded. Returns what `run` has raised."""
        counts, images = self._counts, len(answered.answers)
        if answered.version != self._version:
            self._version, self._images = answered.version, 0
            self._remembered.clear()
            counts.follow(answered.version)
        if run is None:
            counts.count_uncompared("not_loaded", images)
            return None
        began = self._processor_time()
        try:
            predictions = run(answered.pixels)
            found = answers_of(predictions.digits, predictions.refusals).tobytes()
            if len(found) != images:
                raise RuntimeError(f"the candidate answered {len(found)} of {images} images")
            if max(found) > REFUSED:
                raise RuntimeError(f"the candidate answered {max(found)}, which is no digit")
        except Exception as error:  # the border of the candidate: the next request is another
            counts.count_uncompared("raised", images)
            return error
        counts.observe(self._processor_time() - began)
        served = answered.answers.tobytes()
        for one, other in zip(served, found, strict=True):
            counts.count(one, other)
        if answered.key != NO_KEY:
            self._remember(answered.key, served, found)
        return None

    def judge(self, truth: Truth) -> None:
        """Counts which version was right, if the request was compared and is remembered."""
        served, candidate = self._remembered.get(truth.key, (b"", b""))
        if truth.image < len(served):
            right = REFUSED if truth.digit < 0 else truth.digit  # what is no digit is right to refuse
            self._counts.count_judged(served[truth.image] == right, candidate[truth.image] == right)

    def _remember(self, key: bytes, served: bytes, candidate: bytes) -> None:
        before = self._remembered.pop(key, (b"", b""))  # an id that is used again means the last one
        self._remembered[key] = served, candidate
        self._images += len(served) - len(before[0])
        while self._images > MOST_REMEMBERED:
            _, (oldest, _) = self._remembered.popitem(last=False)
            self._images -= len(oldest)
