"""Feedback use case: keeps recent answers at hand, and the truth about them where somebody gives it.

1. Requests of one key are named by their ids for that key alone: nobody gives feedback on the requests of another key.
   Without keys all callers are one.
2. Feedback counts against the rate limit of its key as one image, and has a room of its own: it takes none from
   requests that classify, and a flood of it waits for nothing.
3. Nothing that fails here may fail an answer.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batch_queue import NO_DEADLINE
from serving.core.candidates.shadow import Shadow
from serving.errors import (
    ExpiredError,
    FeedbackFullError,
    NotSupportedError,
    StoreUnavailableError,
    UnknownRequestError,
)
from serving.logging import Logger
from serving.metrics.feedback_metrics import FeedbackMetrics
from serving.predictions import Pixels, Predictions, Refusal
from serving.store.errors import StoreError
from serving.store.records import REFUSED, UNSURE, Answered, Contents, Name

if TYPE_CHECKING:  # a server without a store loads no SQLite
    from serving.store.keeper import Keeper
    from serving.store.recent import RecentImages

CAPACITY = 256  # feedback that waits to be written, of all clients together
LOG_SECONDS = 60.0  # between two lines on a store that cannot be used


@dataclass(frozen=True, slots=True)
class Truth:
    """Feedback on one image. `digit`: 0 to 9, or records.NO_DIGIT."""

    request_id: str
    index: int
    digit: int


class Recorder:
    """Keeps answers at hand for feedback, and refused and unsure pictures where the operator wants those."""

    def __init__(
        self, keeper: "Keeper", recent: "RecentImages | None", kept: Sequence[str], unsure_below: float, log: Logger
    ) -> None:
        """`recent`: None: no feedback is taken. `kept`: reasons of records.REASONS. `unsure_below`: a probability."""
        self._keeper = keeper
        self._recent = recent
        self._keeps_refused = REFUSED in kept
        self._unsure_below = unsure_below if UNSURE in kept else 0.0
        self._log = log

    def add(self, caller: Caller, pixels: Pixels, predictions: Predictions) -> None:
        """Takes a request's images, (n, 784), and their predictions. Raises nothing."""
        try:
            if self._recent:
                self._recent.add(caller.owner, caller.request_id, pixels, predictions)
            if self._keeps_refused or self._unsure_below:
                self._keep(caller, pixels, predictions)
        except Exception as error:  # the border of what may be lost: the answer goes out
            self._log.error("not_recorded", exc_info=error)

    def _keep(self, caller: Caller, pixels: Pixels, predictions: Predictions) -> None:
        refusals, digits = predictions.refusals, predictions.digits
        sureness = predictions.probabilities[np.arange(len(digits)), digits]
        unsure = (refusals == Refusal.NONE) & (sureness < self._unsure_below)
        # A blank picture has nothing to look at.
        refused = (refusals != Refusal.NONE) & (refusals != Refusal.BLANK) & self._keeps_refused
        now = time.time()
        for index in np.flatnonzero(unsure | refused).tolist():
            answered = Answered(
                now, predictions.version, int(digits[index]), float(sureness[index]),
                float(predictions.novelties[index]), int(refusals[index]), pixels[index].tobytes(),
            )  # fmt: skip
            reason = UNSURE if unsure[index] else REFUSED
            self._keeper.keep(Name(caller.owner, caller.request_id, index), reason, answered)


class StoreObserver:
    """Counts and logs what becomes of the store's pictures."""

    def __init__(self, metrics: FeedbackMetrics, log: Logger) -> None:
        self._metrics = metrics
        self._log = log
        self._log_at = 0.0

    def failed(self, error: StoreError) -> None:
        """Counts a failure, and logs it unless one was logged a moment ago."""
        self._metrics.failures.labels(error.reason).inc()
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + LOG_SECONDS
            self._log.error("store_failed", reason=error.reason, why=str(error))

    def dropped(self, pictures: int) -> None:
        """Counts pictures that were not kept."""
        self._metrics.dropped.inc(pictures)

    def counted(self, contents: Contents) -> None:
        """Shows what the store holds."""
        self._metrics.set_contents(contents)


class Feedback:
    """Takes feedback. Used from the event loop alone."""

    def __init__(
        self, keeper: "Keeper | None", rates: RateLimits, metrics: FeedbackMetrics, shadow: Shadow | None = None
    ) -> None:
        """`keeper`: None: no feedback is taken. `shadow`: takes each truth for a candidate version."""
        self._keeper = keeper
        self._rates = rates
        self._metrics = metrics
        self._shadow = shadow
        self._admission = Admission(CAPACITY)

    @property
    def is_taken(self) -> bool:
        """True where this server takes feedback."""
        return self._keeper is not None

    async def give(self, truth: Truth, caller: Caller, deadline: float) -> Answered:
        """Keeps the truth about an image of the caller's, and returns the answer to it once both are on the disk.

        `deadline`: in time.monotonic() seconds. Raises NotSupportedError, UnknownRequestError, FeedbackFullError,
        RateLimitedError, StoreUnavailableError or ExpiredError.
        """
        if self._keeper is None:
            raise NotSupportedError("this server takes no feedback: see --store")
        if not self._admission.admit(caller.name, 1):
            raise FeedbackFullError
        try:
            if caller.key:
                self._rates.charge(caller.key, 1)
            until = None if deadline == NO_DEADLINE else max(0.0, deadline - time.monotonic())
            async with asyncio.timeout(until):
                labelled = await self._keeper.label(Name(caller.owner, truth.request_id, truth.index), truth.digit)
        except TimeoutError as error:
            raise ExpiredError from error
        except StoreError as error:
            raise StoreUnavailableError(error.reason) from error
        finally:
            self._admission.release(caller.name, 1)
        if labelled is None:
            raise UnknownRequestError(truth.request_id, truth.index)
        if labelled.is_first:  # a correction would count the image twice
            self._metrics.observe(labelled.answered, truth.digit)
            if self._shadow:
                self._shadow.judge(caller, truth.request_id, truth.index, truth.digit)
        return labelled.answered
