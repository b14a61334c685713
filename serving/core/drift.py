"""Observes a sample of answered images for drift: their predictions, and measures of their pixels and pictures.

1. Observing costs the thread that answers a bounded share of its time, whatever the traffic and the machine: after an
   observation that took d seconds, none follows for d / share, but for what was saved up while there was no traffic.
2. It happens after the answers have left. No pixels are kept.
3. It is of the version that answers by default, against that version's own reference.
"""

import math
import time
from collections.abc import Callable, Iterable

from serving.drift.counts import DriftCounts
from serving.image.measures import PIXEL_MEASURES, measured, measures_of
from serving.image.picture import Framed
from serving.models.loaded_model import LoadedModel
from serving.predictions import BatchPredictions, Pixels

LARGEST_BURST_SECONDS = 0.02  # of observing, that quiet times save up
MOST_IMAGES = 64  # of one batch: with more, one observation would hold up the next batch


class DriftObserver:
    """Counts what it observes. Used from the event loop alone."""

    def __init__(
        self,
        counts: DriftCounts,
        served: Callable[[], LoadedModel | None],
        share: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`served`: returns the model that answers by default, if any does.

        `share`: of the thread's time that observing may take, above 0 and at most 1. `clock`: in seconds, for tests.
        """
        self.due = -math.inf  # in seconds of the clock: until then observe() is not to be called
        self._clock = clock
        self._counts = counts
        self._served = served
        self._share = share
        self._model: LoadedModel | None = None

    def follow(self) -> None:
        """Counts for the version that answers by default now. Each observation does so by itself."""
        model = self._served()
        if model is not None and model is not self._model:
            self._model = model
            self._counts.follow(model.version, model.drift)

    def observe(self, predictions: BatchPredictions, pixels: Pixels) -> None:
        """Counts the predictions for `pixels`, (n, 784) uint8, and measures of these, of the batch's first images."""
        self.follow()
        if not self._counts.is_counting or predictions.version != self._counts.version:
            return
        began = self._clock()
        probabilities = predictions.probabilities[:MOST_IMAGES].max(axis=1)
        self._counts.count_all("digit", predictions.digits[:MOST_IMAGES])
        self._counts.count_all("confidence", probabilities)
        self._counts.count_all("novelty", predictions.novelties[:MOST_IMAGES])
        for name, values in zip(PIXEL_MEASURES, measured(pixels[:MOST_IMAGES]).T, strict=True):
            self._counts.count_all(name, values)
        seconds = self._clock() - began
        self.due = max(self.due, began - LARGEST_BURST_SECONDS / self._share) + seconds / self._share

    def observe_pictures(self, pictures: Iterable[Framed]) -> None:
        """Counts what framing has found in pictures: a few microseconds for each, which took a millisecond."""
        self.follow()
        for picture in pictures:
            for name, value in measures_of(picture):
                self._counts.count(name, value)
