"""Statistics of grey levels by their histogram: 256 counts, whatever the picture's size."""

import math

import cv2
import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
LEVELS = np.arange(256.0)


def histogram(levels: npt.NDArray[np.uint8]) -> Counts:
    """Returns how many pixels have each level, (256,)."""
    counts: Counts = cv2.calcHist([levels], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    return counts


def percentile(counts: Counts, percent: float) -> int:
    """Returns the lowest level at or below which `percent` of the pixels lie."""
    below = counts.cumsum()
    return int(below.searchsorted(percent / 100 * below[-1]))


def otsu_level(levels: npt.NDArray[np.uint8]) -> int:
    """Returns the highest level of the lower of the two classes that best separate the levels.

    Otsu 1979, IEEE Trans. SMC 9(1).
    """
    return int(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0])


def roughness(levels: npt.NDArray[np.uint8]) -> float:
    """Returns the standard deviation of noise that the differences of neighbours show, in levels.

    Along the axis where they differ less: noise is as rough along both, while soft strokes are not.
    """
    some_rows, some_columns = levels[::2], levels[:, ::2]  # half of the pixels say as much
    across = cv2.absdiff(some_rows[:, 1:], some_rows[:, :-1])
    down = cv2.absdiff(some_columns[1:], some_columns[:-1])
    median = min(percentile(histogram(differences), 50) for differences in (across, down))
    return 1.4826 / math.sqrt(2) * (median + 0.5)
