"""Judges an adapted version: changes of shares on the same pictures, with intervals, and whether it may be written."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import stats

Booleans = npt.NDArray[np.bool_]
LEVEL = 0.95  # of the intervals that are shown, and that must be above 0 for the user's own pictures
# Standard errors of a change that count as noise in a population: some twenty figures are looked at, and at 95 % one of
# them would be called worse by chance. The gate of promotion has the same number (serving.models.quality).
STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """A share of the same pictures before and after, and the interval of after - before.

    Attributes:
        before, after: shares in 0..1.
        low, high: 95 % interval of the change, from -1 to 1.
        standard_error: of the change.
        pictures: how many.
        groups: how many of them are independent: people, requests or pictures.
    """

    before: float
    after: float
    low: float
    high: float
    standard_error: float
    pictures: int
    groups: int

    @classmethod
    def of(cls, before: Booleans, after: Booleans, groups: npt.NDArray[np.int64] | None = None) -> Self:
        """The change from `before` to `after`, (n,) each, n at least 1; `groups` (n,): pictures by one person.

        Half a picture is added to each cell of the two-by-two table (Agresti and Min 2005): without it, 10 of 10
        pictures that stay right would leave no doubt at all. With groups, the larger of two standard errors counts:
        that of independent pictures, and that of groups (Student's t, a degree of freedom less than there are groups).
        """
        fixed, broken, n = float(np.sum(after & ~before)), float(np.sum(before & ~after)), len(before)
        middle = (fixed - broken) / (n + 2)
        error = sqrt(max((fixed + broken + 1) - (fixed - broken) ** 2 / (n + 2), 0)) / (n + 2)
        quantile, count = float(stats.norm.ppf((1 + LEVEL) / 2)), n
        if groups is not None and (count := len(np.unique(groups))) < n:
            if count == 1:  # one person's pictures say nothing of others
                return cls(float(np.mean(before)), float(np.mean(after)), -1.0, 1.0, inf, n, count)
            of_groups = _error_of_groups(after.astype(float) - before, groups)
            quantile, error = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)), max(error, of_groups)
        reach = quantile * error
        return cls(
            float(np.mean(before)),
            float(np.mean(after)),
            max(middle - reach, -1),
            min(middle + reach, 1),
            error,
            n,
            count,
        )

    @property
    def is_better(self) -> bool:
        """More, beyond chance."""
        return self.low > 0

    @property
    def independent_error(self) -> float:
        """Standard error of the change if other pictures had been read after it: the gate of promotion reckons so.

        One picture on either side is added (Agresti and Caffo 2000).
        """
        shares = ((each * self.pictures + 1) / (self.pictures + 2) for each in (self.before, self.after))
        return sqrt(sum(share * (1 - share) / (self.pictures + 2) for share in shares))


@dataclass(frozen=True, slots=True)
class PopulationChange:
    """A share of another population, and whether it can keep a version from being written."""

    name: str
    measure: str  # accuracy, or refused
    is_good: bool  # more is better
    decides: bool
    change: Change

    @property
    def is_worse(self) -> bool:
        """Worse, beyond noise. What is not worse here passes the gate of promotion.

        Digits are compared picture by picture. A refusal hangs on the threshold, which is the novelty of one picture
        of some population and differs from one training to the next: that noise is in no comparison by picture.
        """
        change, error = self.change, self.change.independent_error
        if self.measure == "accuracy":
            error = min(error, change.standard_error)
        return (change.before - change.after) * (1 if self.is_good else -1) > STANDARD_ERRORS * error


@dataclass(frozen=True, slots=True)
class Verdict:
    """What speaks against an adapted version; it is written where nothing does, or all the same."""

    objections: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Nothing speaks against it."""
        return not self.objections


def judge(own: Change, others: Sequence[PopulationChange]) -> Verdict:
    """Decide: better on the user's held-out pictures, and nowhere worse beyond noise."""
    objections = []
    if own.after <= own.before:
        objections.append(f"the own pictures are not read better: {own.before:.2%} before, {own.after:.2%} after")
    elif not own.is_better:
        objections.append(
            f"the own pictures are read better, {own.before:.2%} before, {own.after:.2%} after, but that may be chance:"
            f" the change lies between {100 * own.low:+.1f} and {100 * own.high:+.1f} points"
        )
    objections += [
        f"{each.measure} of {each.name}: {each.change.before:.2%} before, {each.change.after:.2%} after"
        for each in others
        if each.decides and each.is_worse
    ]
    return Verdict(tuple(objections))


def _error_of_groups(changes: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]) -> float:
    """Standard error of the mean of `changes`, (n,), whose groups, two or more, are independent of one another."""
    _, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, weights=changes - changes.mean())
    count = len(sums)
    return sqrt(float(np.sum(sums**2)) * count / (count - 1)) / len(changes)
