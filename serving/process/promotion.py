"""The gate of promotion: what a sound new version must be, next to the served one, before it is served by itself."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from serving.errors import ModelRejectedError
from serving.models.loaded_model import LoadedModel
from serving.models.quality import Figures, what_is_worse
from serving.predictions import PIXELS, Pixels
from serving.version_policy import VersionPolicy

# Runs of the new and of the served version, in turn; the shortest of each counts. Where the calling thread computes,
# its processor time is taken: a busy machine, or a container at its limit of processors, stops a thread for longer than
# a run takes. Where others compute for it, only the time that passes is known, and either may look slow. So the
# comparison goes on until the new version looks fast enough, and ends after TIMING_SECONDS at the latest.
MIN_ROUNDS, MAX_ROUNDS, TIMING_SECONDS = 7, 50, 2.0


@dataclass(frozen=True, slots=True)
class PromotionGate:
    """Settings of promotion: which versions wait, and how much slower and worse than the served one they may be."""

    is_manual: bool
    max_slowdown: float  # times as long; 0: any
    max_quality_drop: float  # share beyond chance; 1: any
    held_back: frozenset[int] = frozenset()  # candidates: served only where the policy names them

    def candidates(self, policy: VersionPolicy, there: Sequence[int]) -> tuple[list[int], int]:
        """Returns the versions to try, in their order, and how many good ones of them are served.

        By hand, the oldest one is served until the policy names others: this needs no memory of what was served, so
        that a worker that is replaced and a server that restarts do not promote what waits.
        """
        there = [version for version in there if version not in self.held_back or version in policy.versions]
        if self.is_manual and not policy.versions:
            return sorted(there), 1
        return policy.candidates(there), policy.most

    def waiting(self, there: Collection[int], wanted: Collection[int]) -> list[int]:
        """Returns the versions, ascending, that wait for a command: candidates, and by hand all that are newer."""
        newest = max(wanted, default=0)
        return sorted(
            version
            for version in there
            if version not in wanted and (version in self.held_back or (self.is_manual and 0 < newest < version))
        )

    def why_waiting(self, version: int) -> str:
        """Returns what keeps the version from being served, in words."""
        setting = "it is a candidate" if version in self.held_back else "--promote manual"
        return f"version {version} waits: `python -m serving versions pin {version}` serves it ({setting})"

    def check_quality(self, new: LoadedModel, old: int, figures: Figures) -> None:
        """Compares with the figures of the version `old`, 0: none. Raises ModelRejectedError."""
        if not old or self.max_quality_drop >= 1:
            return
        if worse := what_is_worse(new.figures, figures, self.max_quality_drop):
            raise ModelRejectedError(
                f"version {new.version} is worse than version {old}: {worse} (--max-quality-drop; "
                f"`python -m serving versions pin {new.version}` serves it all the same)",
                "worse",
            )

    def check_speed(self, new: LoadedModel, old: LoadedModel, images: int) -> None:
        """Compares the time of a batch of `images` with that of the served version. Raises ModelRejectedError."""
        if not self.max_slowdown:
            return
        slowdown = _slowdown(new, old, images, self.max_slowdown)
        if slowdown > self.max_slowdown:
            raise ModelRejectedError(
                f"version {new.version} takes {slowdown:.1f} times as long as the served version {old.version}, "
                f"at most {self.max_slowdown:g} times are allowed (--max-slowdown)",
                "slow",
            )


def _slowdown(new: LoadedModel, old: LoadedModel, images: int, allowed: float) -> float:
    """Returns how many times as long `new` takes for a batch of `images` as `old`. Stops early at `allowed` or less."""
    pixels = np.zeros((images, PIXELS), np.uint8)  # by a cascade, blanks take the longest: both stages
    clock = time.thread_time if new.session.computes_on_caller and old.session.computes_on_caller else time.perf_counter
    fastest_new = fastest_old = float("inf")
    ends = time.perf_counter() + TIMING_SECONDS
    for number in range(MAX_ROUNDS):
        fastest_new = min(fastest_new, _seconds(new, pixels, clock))
        fastest_old = min(fastest_old, _seconds(old, pixels, clock))
        is_late = time.perf_counter() > ends
        if number + 1 >= MIN_ROUNDS and (is_late or fastest_new <= allowed * fastest_old):
            break
    return fastest_new / fastest_old


def _seconds(model: LoadedModel, pixels: Pixels, clock: Callable[[], float]) -> float:
    began = clock()
    model.run(pixels)
    return clock() - began
