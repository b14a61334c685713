"""Decides whether ink is dark on light paper or light on dark paper.

Five signs vote, each with a weight:

1. The tail of the grey levels: ink is rarer than paper, so it lies on the longer tail (the skewness). Uneven light is
   removed first, since a shadow has a tail too.
2. The corners, which a digit reaches least.
3. The border, and 4. the area: most of each is paper.

5. On uneven paper, what is narrow: strokes are, while shadows and tables are not.

They vote on the whole picture, and again on its inside, where the lines of a form or a grid do not reach.
"""

import functools
import math

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.histogram import Counts, histogram, otsu_level, roughness
from serving.image.ink.paper import FLAT_PAPER_SHARE

# Weights fitted to 13,404 simulated pictures (forms, postal scans, photos, cells of a grid), rounded; decision 0012.
TAIL_WEIGHT, CORNER_WEIGHT, BORDER_WEIGHT, AREA_WEIGHT = 1.0, 2.0, 0.4, 0.4
EVIDENT_SHARE = 0.5  # of all pixels that have the level of the whole border: it is paper
RULED_SHARE = 0.1  # of a side, at each end: where ruled lines may be
SMALLEST_RULED_SIDE = 24  # pixels; the inside of a smaller picture has no vote
INSIDE_WEIGHT = 0.5  # less than the whole: a digit that fills its picture leaves little paper inside
LONGEST_TAIL = 2.0  # limit of the skewness' size, which a few outliers can make arbitrarily large
FINE = (0.03, 0.06, 0.12, 0.25)  # of the shorter side: windows that strokes are looked at through, and a wide one
HALVED_SIDE = 96  # pixels of the shorter side, from which half as many are looked at
NOISE = 3.0  # standard deviations that noise may reach
FINE_WEIGHT = 6.0  # on uneven paper, where a shadow's edge and a table mislead the other signs
SMALLEST_FINE_SIDE = 48  # pixels of the shorter side; in a smaller picture strokes and gaps are of one width
SAMPLED_SIDE = 64  # pixels a side of the sample that the tail is measured on, about


def is_paper_light(grey: npt.NDArray[np.uint8], counts: Counts | None = None) -> bool:
    """Returns True for dark ink on light paper. `grey`: (h, w) uint8, not all of one level.

    `counts`: histogram(grey), for a caller that has it.
    """
    counts = histogram(grey) if counts is None else counts
    usual = int(counts.argmax())
    if counts[usual] >= EVIDENT_SHARE * grey.size and not np.count_nonzero(_border(grey) != usual):
        return bool(usual > cv2.mean(grey)[0])  # paper of one level, also all around: no vote is needed
    votes = _votes_for_light(grey)
    if min(grey.shape) >= SMALLEST_RULED_SIDE:
        height, width = (round(RULED_SHARE * side) for side in grey.shape)
        votes += INSIDE_WEIGHT * _votes_for_light(grey[height:-height, width:-width])
    if min(grey.shape) >= SMALLEST_FINE_SIDE and counts[usual] < FLAT_PAPER_SHARE * grey.size:
        votes += FINE_WEIGHT * _finer_when_dark(grey)
    return votes > 0


def _finer_when_dark(grey: npt.NDArray[np.uint8]) -> float:
    """Returns by how much narrower what is dark is than what is light: from -1 to 1.

    Seen through a narrow window, strokes are there as a whole, while the paper between them and around them is not.
    """
    if min(grey.shape) >= HALVED_SIDE:
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    noise = NOISE * roughness(grey)
    shares = []
    for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        seen = (cv2.subtract(cv2.morphologyEx(grey, kind, _window(grey, share)), noise) for share in FINE)
        *narrow, wide = (cv2.norm(levels, cv2.NORM_L2SQR) for levels in seen)
        shares.append(sum(narrow) / len(narrow) / wide if wide else 0.0)
    return shares[0] - shares[1]


def _window(grey: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    size = max(3, round(share * min(grey.shape)) | 1)
    window: npt.NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))
    return window


def _votes_for_light(grey: npt.NDArray[np.uint8]) -> float:
    """Returns the sum of the weighted votes: above 0 for light paper, below 0 for dark paper, 0 for one level."""
    level = otsu_level(grey)
    lighter = cv2.countNonZero(cv2.compare(grey, level, cv2.CMP_GT))
    if not 0 < lighter < grey.size:
        return 0.0
    edges = _border(grey)
    border = np.count_nonzero(edges > level) / edges.size
    corners = sum(int(grey[row, column]) > level for row in (0, -1) for column in (0, -1)) / 4
    signs = ((corners, CORNER_WEIGHT), (border, BORDER_WEIGHT), (lighter / grey.size, AREA_WEIGHT))
    return sum(weight * (share - 0.5) for share, weight in signs) - TAIL_WEIGHT * _tail(grey)


def _border(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def _tail(grey: npt.NDArray[np.uint8]) -> float:
    """Returns the skewness of the levels without a plane of light: below 0 when the rarer extreme is dark."""
    levels = grey[:: max(1, grey.shape[0] // SAMPLED_SIDE), :: max(1, grey.shape[1] // SAMPLED_SIDE)].astype(np.float32)
    # Least squares one axis after the other: the ramps are orthogonal, and each has mean 0.
    down, across = cv2.reduce(levels, 1, cv2.REDUCE_AVG), cv2.reduce(levels, 0, cv2.REDUCE_AVG)
    levels -= _line(down.ravel())[:, None] + (_line(across.ravel()) + np.float32(cv2.mean(down)[0]))
    squares = levels * levels
    variance = cv2.mean(squares)[0]
    if variance <= 0:
        return 0.0
    tail = cv2.mean(squares * levels)[0] / variance**1.5
    return math.copysign(min(abs(tail), LONGEST_TAIL), tail)


def _line(means: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns the straight line through `means`, (n,), less their mean."""
    ramp, power = _ramp(len(means))
    return ramp * np.float32((ramp * means).sum() / power)


@functools.lru_cache(maxsize=512)
def _ramp(length: int) -> tuple[npt.NDArray[np.float32], float]:
    """Returns -1 to 1 in `length` steps, and the sum of their squares, at least 1."""
    ramp = np.linspace(-1, 1, length, dtype=np.float32) if length > 1 else np.zeros(1, np.float32)
    return ramp, max(float((ramp * ramp).sum()), 1.0)
