"""A canary: a version that answers a share of the callers, and returns to the served version by itself.

1. A caller stays with its version: it is chosen by a hash of its key's name, or of its address without the port.
2. Requests that name a version get that one. Only Classify and its counterparts of other contracts choose.
3. The return is for good, until the service starts anew. The version goes on to be held back from promotion.
"""

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b
from urllib.parse import unquote

import numpy as np

from serving.auth.api_keys import Caller
from serving.core.candidates.canary_trial import CanaryTrial, Tally, Verdict
from serving.core.registry import Registry, ServedModel
from serving.core.runner import RunModel
from serving.logging import Logger
from serving.metrics.canary_metrics import CanaryMetrics
from serving.predictions import BatchPredictions, Pixels, Refusal
from serving.version_policy import CanaryBounds, Candidate

LOOK_SECONDS = 1.0  # between two looks at the figures


class Canary:
    """The canary of one process. Used from the event loop alone, but for what watched() returns."""

    def __init__(
        self,
        candidate: Candidate,
        bounds: CanaryBounds,
        registry: Registry,
        metrics: CanaryMetrics,
        log: Logger,
        returned: Callable[[], None],
    ) -> None:
        """`returned`: is called once the canary has returned for a reason that this process has found."""
        self._candidate = candidate
        self._bounds = bounds
        self._limit = int(candidate.share * 2**64)  # of hashes
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._returned = returned
        self._trial: CanaryTrial | None = None
        self._timer: asyncio.TimerHandle | None = None
        metrics.start(candidate.version)

    @property
    def version(self) -> int:
        """Version that is to answer its share; 0: none, as it has returned."""
        return self._candidate.version if self._limit else 0

    def chosen(self, caller: Caller, served: ServedModel) -> ServedModel:
        """Returns the model for a request of the caller's that names no version: the canary or `served`."""
        canary = self._registry.canary
        return canary if canary is not None and self.is_chosen(caller) else served

    def is_chosen(self, caller: Caller) -> bool:
        """Returns True for callers of the canary's share: about as many of many as the share says."""
        # Of ipv4:10.0.0.1:40000; gRPC writes ipv6:%5B::1%5D:40000 where HTTP's callers are http:::1:40000.
        name = caller.owner or unquote(caller.name.rpartition(":")[0].partition(":")[2]).strip("[]")
        salt = self._candidate.version.to_bytes(8, "little")  # each canary has other callers
        digest = blake2b(name.encode(errors="surrogateescape"), digest_size=8, salt=salt).digest()
        return int.from_bytes(digest, "little") < self._limit

    def follow(self) -> None:
        """Begins or ends the trial: call it when other models are served."""
        canary, served = self._registry.canary, self._registry.default_model()
        if canary is None or served is None:
            self._trial = None
            self._metrics.set_share(0.0)
        elif self._trial is None or self._trial.versions != (canary.model.version, served.version):
            self._trial = CanaryTrial(canary.model.version, served.version, self._bounds, time.monotonic())
            self._metrics.set_share(self._candidate.share)
            self._log.info("canary_answers", canary=canary.model.version, share=self._candidate.share)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def watched(self, version: int, run: RunModel) -> RunModel:
        """Returns `run` of a version so that its inferences count for the trial, from whatever thread it is called."""
        counts = self._metrics.of(version)

        def watch(pixels: Pixels) -> BatchPredictions:
            trial, began = self._trial, time.perf_counter()
            tally = (trial and trial.tally(version)) or Tally()  # one of its own, where no trial runs
            try:
                predictions = run(pixels)
            except Exception:
                tally.add_failure()
                counts.failures.inc()
                raise
            seconds, images = time.perf_counter() - began, len(pixels)
            # What is blank is the caller's doing.
            refused = int(np.count_nonzero(predictions.refusals == Refusal.NOVEL))
            tally.add(images, refused, seconds)
            counts.inferences.inc()
            counts.images.inc(images - refused)
            counts.refused.inc(refused)
            counts.seconds.inc(seconds)
            return predictions

        return watch

    def end(self) -> None:
        """Returns to the served version for good. Requests that the canary has begun are answered by it."""
        self._limit = 0
        self._registry.canary = None
        self.follow()

    def close(self) -> None:
        """Looks no more."""
        if self._timer:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._trial is None:
            return
        verdict = self._trial.verdict(time.monotonic())
        if verdict is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        else:
            self._return(verdict)

    def _return(self, verdict: Verdict) -> None:
        do = f"`versions pin` the served version, then take --canary away: else `latest` serves {self.version}"
        self._log.error("canary_returned", canary=self.version, reason=verdict.reason, why=verdict.why, do=do)
        self._metrics.returns[verdict.reason].inc()
        self.end()
        self._returned()
