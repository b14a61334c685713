"""Decides by figures of both versions whether a canary returns: more failures, more refusals, or more time.

Pure: told the time. Counts are of inferences, not of answers: a caller that leaves because the canary is slow would
otherwise hide how slow it is.

1. Only the last WINDOW_SECONDS count, in SLICES.
2. A share is worse if it exceeds the served version's by the bound and by what chance explains, three standard errors
   of the difference of two independent samples.
3. Time is compared at equal sizes of batches: a canary gets few requests, so its batches are small. It is too long if
   it exceeds the bound by three standard errors, too: one pause of the process returns nothing.
4. Refusals are not judged below the least number of inferences of each version; for failures and time a tenth of it,
   of the canary, is enough: a version that takes seconds makes few.
"""

from collections import deque
from dataclasses import dataclass, field
from math import sqrt

from serving.models.quality import Figure, standard_error
from serving.version_policy import CanaryBounds

WINDOW_SECONDS, SLICES = 300.0, 10
SIZES = 14  # of batches, by their number's bits: 1, 2 to 3, 4 to 7, up to 8191 images
STANDARD_ERRORS = 3.0


@dataclass(slots=True)
class Tally:
    """What a version's inferences were like. One thread at a time adds to it."""

    runs: int = 0
    failures: int = 0
    images: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0] * SIZES)  # by the batch's size
    squares: list[float] = field(default_factory=lambda: [0.0] * SIZES)  # of the seconds
    sizes: list[int] = field(default_factory=lambda: [0] * SIZES)  # images, by the batch's size
    batches: list[int] = field(default_factory=lambda: [0] * SIZES)

    def add(self, images: int, refused: int, seconds: float) -> None:
        """Adds an inference of `images`, of which the model has refused some."""
        size = min(images.bit_length(), SIZES) - 1
        self.runs += 1
        self.images += images
        self.refused += refused
        self.seconds[size] += seconds
        self.squares[size] += seconds**2
        self.sizes[size] += images
        self.batches[size] += 1

    def add_failure(self) -> None:
        """Adds an inference that raised."""
        self.runs += 1
        self.failures += 1

    def merge(self, other: "Tally") -> None:
        """Adds all of `other`."""
        self.runs += other.runs
        self.failures += other.failures
        self.images += other.images
        self.refused += other.refused
        self.seconds = [one + two for one, two in zip(self.seconds, other.seconds, strict=True)]
        self.squares = [one + two for one, two in zip(self.squares, other.squares, strict=True)]
        self.sizes = [one + two for one, two in zip(self.sizes, other.sizes, strict=True)]
        self.batches = [one + two for one, two in zip(self.batches, other.batches, strict=True)]

    def variance(self, size: int) -> float:
        """Returns the variance of the sum of a size's seconds; of a single batch its square, as no more is known."""
        count, total = self.batches[size], self.seconds[size]
        if count < 2:
            return total**2
        return max(0.0, self.squares[size] - total**2 / count) * count / (count - 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a canary returns. `reason`: one of metrics.canary_metrics.REASONS; `why`: with the figures, in words."""

    reason: str
    why: str


class CanaryTrial:
    """Tallies of the canary and the served version over the window."""

    def __init__(self, canary: int, served: int, bounds: CanaryBounds, now: float) -> None:
        """`canary`, `served`: the two versions. `now`: in seconds, as everywhere here."""
        self.versions = canary, served
        self._bounds = bounds
        self._slices: deque[tuple[float, Tally, Tally]] = deque([(now, Tally(), Tally())], SLICES)

    def tally(self, version: int) -> Tally | None:
        """Returns where the inferences of `version` count now; None: it is neither of the two."""
        _, canary, served = self._slices[-1]
        return {self.versions[0]: canary, self.versions[1]: served}.get(version)

    def verdict(self, now: float) -> Verdict | None:
        """Returns why the canary returns; None: it goes on."""
        canary, served = Tally(), Tally()
        for began, one, other in self._slices:
            if now - began < WINDOW_SECONDS:
                canary.merge(one)
                served.merge(other)
        if now - self._slices[-1][0] >= WINDOW_SECONDS / SLICES:
            self._slices.append((now, Tally(), Tally()))  # the oldest goes
        return self._failures(canary, served) or self._refusals(canary, served) or self._slowness(canary, served)

    def _failures(self, canary: Tally, served: Tally) -> Verdict | None:
        one, other = _share(canary.failures, canary.runs), _share(served.failures, served.runs)
        if canary.runs < self._bounds.calls / 10 or not _exceeds(one, other, self._bounds.failures):
            return None
        return Verdict(
            "failures",
            f"{canary.failures} of {canary.runs} inferences failed, of the served version's {served.failures} of"
            f" {served.runs}",
        )

    def _refusals(self, canary: Tally, served: Tally) -> Verdict | None:
        one, other = _share(canary.refused, canary.images), _share(served.refused, served.images)
        too_few = min(canary.runs, served.runs) < self._bounds.calls
        if too_few or not _exceeds(one, other, self._bounds.refusals):
            return None
        return Verdict(
            "refusals", f"{one.share:.2%} of its images are refused, of the served version's {other.share:.2%}"
        )

    def _slowness(self, canary: Tally, served: Tally) -> Verdict | None:
        if not self._bounds.slowdown or canary.runs < self._bounds.calls / 10:
            return None
        spent = expected = variance = 0.0
        for size in range(SIZES):
            if canary.sizes[size] and served.sizes[size]:
                times = canary.sizes[size] / served.sizes[size]
                spent += canary.seconds[size]
                expected += served.seconds[size] * times
                variance += canary.variance(size) + served.variance(size) * (self._bounds.slowdown * times) ** 2
        if spent - self._bounds.slowdown * expected <= STANDARD_ERRORS * sqrt(variance) or not expected:
            return None
        return Verdict(
            "slowness", f"it takes {spent / expected:.1f} times as long as the served version, at equal batches"
        )


def _share(count: int, of: int) -> Figure:
    return Figure(count / of if of else 0.0, of, is_good=False, is_required=False)


def _exceeds(one: Figure, other: Figure, allowed: float) -> bool:
    return one.share - other.share > allowed + STANDARD_ERRORS * standard_error(one, other)
