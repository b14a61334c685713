"""Whether memory grows: the slope of a line through samples, with its uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Growth:
    """MiB an hour. `uncertainty`: twice the slope's standard error, if samples differ from the line independently."""

    slope: float
    uncertainty: float

    def verdict(self, allowed: float) -> str:
        """In words, for at most `allowed` MiB an hour."""
        if self.slope - self.uncertainty > allowed:
            return "it grows"
        if self.slope + self.uncertainty > allowed:
            return "undecided: measure longer"
        return "it does not grow"


def growth(hours: Sequence[float], mebibytes: Sequence[float]) -> Growth:
    """By least squares. Raises ValueError for fewer than three samples."""
    count = len(hours)
    if count < 3:
        raise ValueError(f"{count} samples show no growth: three are the least")
    mean_hours, mean_mebibytes = sum(hours) / count, sum(mebibytes) / count
    spread = sum((hour - mean_hours) ** 2 for hour in hours)
    pairs = list(zip(hours, mebibytes, strict=True))
    slope = sum((hour - mean_hours) * (value - mean_mebibytes) for hour, value in pairs) / spread
    residuals = [value - mean_mebibytes - slope * (hour - mean_hours) for hour, value in pairs]
    error = math.sqrt(sum(each**2 for each in residuals) / (count - 2) / spread)
    return Growth(slope, 2 * error)
