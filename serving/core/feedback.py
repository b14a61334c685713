"""Feedback use case: keeps recent answers at hand, and the truth about them where somebody gives it.

1. Requests of one key are named by their ids for that key alone: nobody gives feedback on the requests of another key.
   Without keys all callers are one.
2. Feedback counts against the rate limit of its key as one image, and has a room of its own: it takes none from
   requests that classify, and a flood of it waits for nothing.
3. Nothing that fails here may fail an answer.
4. The digits of a line that Read has answered are images like any other, and the text of a line is the truth about each
   of them. A text of another number of digits belongs to none of them, and is refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
    InvalidRequestError,
    NotSupportedError,
    StoreUnavailableError,
    UnknownRequestError,
)
from serving.logging import Logger
from serving.metrics.feedback_metrics import FeedbackMetrics
from serving.predictions import BatchPredictions, Pixels, Predictions, Refusal
from serving.readings import Line
from serving.store.errors import StoreError
from serving.store.records import REFUSED, UNSURE, Answered, Contents, Name

if TYPE_CHECKING:  # a server without a store loads no SQLite
    from serving.store.keeper import Keeper, Labelled
    from serving.store.recent import RecentImages

CAPACITY = 256  # feedback that waits to be written, in images, of all clients together
LONGEST_TEXT = 128  # digits of a line; half of CAPACITY, so that one line does not keep out all others
LOG_SECONDS = 60.0  # between two lines on a store that cannot be used


@dataclass(frozen=True, slots=True)
class Truth:
    """Feedback on one image. `digit`: 0 to 9, or records.NO_DIGIT."""

    request_id: str
    index: int
    digit: int


@dataclass(frozen=True, slots=True)
class LineTruth:
    """Feedback on a line that Read has answered. `text`: its digits, 1 to LONGEST_TEXT of 0 to 9."""

    request_id: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """What was answered for a line: the digits that were not refused, by the model `version`."""

    text: str
    version: int


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

    def add_lines(self, caller: Caller, pixels: Pixels, lines: Sequence[Line], version: int) -> None:
        """Takes the signs of the lines of one picture, in reading order, for feedback alone. Raises nothing.

        `pixels`: of the picture's candidates, (n, 784). `version`: of the model that read them.
        """
        if not self._recent or not lines:
            return
        try:
            glyphs = [glyph for line in lines for glyph in line.glyphs]
            probabilities = np.array([glyph.probabilities for glyph in glyphs])
            novelties = np.array([glyph.novelty for glyph in glyphs], np.float32)
            batch = BatchPredictions(probabilities, np.array([glyph.digit for glyph in glyphs]), novelties)
            batch.refusals = np.array([Refusal.NOVEL if glyph.refused else 0 for glyph in glyphs], np.uint8)
            batch.version = version
            places = [(number, len(line.glyphs)) for number, line in enumerate(lines) for _ in line.glyphs]
            seen = pixels[np.concatenate([line.candidates for line in lines])]
            predictions = Predictions(batch, 0, len(glyphs))
            self._recent.add(caller.owner, caller.request_id, seen, predictions, np.array(places, np.uint16))
        except Exception as error:  # as above
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
        async with self._admitted(caller, 1, deadline) as keeper:
            labelled = await keeper.label(Name(caller.owner, truth.request_id, truth.index), truth.digit)
        if labelled is None:
            raise UnknownRequestError(truth.request_id, truth.index)
        self._count(labelled, truth, caller)
        return labelled.answered

    async def give_line(self, truth: LineTruth, caller: Caller, deadline: float) -> AnsweredLine:
        """Keeps the truth about each digit of a line, and returns the answer to it once all are on the disk.

        It counts as one image for each digit. Raises what give() raises, and InvalidRequestError for a text that has
        not as many digits as the line's answer.
        """
        name, digits = Name(caller.owner, truth.request_id, truth.line), [int(digit) for digit in truth.text]
        async with self._admitted(caller, len(digits), deadline) as keeper:
            found = await keeper.line(name)
            if not found:
                raise UnknownRequestError(truth.request_id, truth.line, "line")
            signs = {index: sign for index, sign in found.items() if not sign.refusal}
            if len(digits) != len(signs):
                raise InvalidRequestError(
                    f"text: expected as many digits as the text that was answered has, {len(signs)}, got {len(digits)};"
                    " a line that was cut wrongly takes feedback on each of its signs, by digit or no_digit"
                )
            labelled = await keeper.label_signs(name, signs, digits)
        for index, digit, one in zip(signs, digits, labelled, strict=True):
            self._count(one, Truth(truth.request_id, index, digit), caller)
        text = "".join(str(one.answered.digit) for one in labelled)
        return AnsweredLine(text, labelled[0].answered.version)

    @asynccontextmanager
    async def _admitted(self, caller: Caller, images: int, deadline: float) -> AsyncIterator["Keeper"]:
        """Holds room for feedback on `images` within the block, which ends by the deadline, and charges the key."""
        if self._keeper is None:
            raise NotSupportedError("this server takes no feedback: see --store")
        if not self._admission.admit(caller.name, images):
            raise FeedbackFullError
        try:
            if caller.key:
                self._rates.charge(caller.key, images)
            until = None if deadline == NO_DEADLINE else max(0.0, deadline - time.monotonic())
            async with asyncio.timeout(until):
                yield self._keeper
        except TimeoutError as error:
            raise ExpiredError from error
        except StoreError as error:
            raise StoreUnavailableError(error.reason) from error
        finally:
            self._admission.release(caller.name, images)

    def _count(self, labelled: "Labelled", truth: Truth, caller: Caller) -> None:
        if labelled.is_first:  # a correction would count the image twice
            self._metrics.observe(labelled.answered, truth.digit)
            if self._shadow:
                self._shadow.judge(caller, truth.request_id, truth.index, truth.digit)
