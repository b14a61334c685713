"""Detects the polarity of a picture: dark ink on light paper, or light ink on dark paper.

No single sign is reliable: a digit that fills its picture lies on the border, remnants of a form's lines are on the
border, and a bold digit can cover half of an 8x8 picture. So four signs vote:

1. The tail of the grey levels: ink is the rarer extreme, so their distribution is skewed towards it. Uneven light is
   removed first, since a shadow has a tail too.
2. The corners, which a digit reaches least.
3. The border, and 4. the area: most of each is paper.

They vote on the whole picture, and again on its inside, where the lines of a form or a grid do not reach.
"""

import numpy as np
import numpy.typing as npt

# Weights fitted to 13,404 simulated pictures (forms, postal scans, photos, cells of a grid), rounded; decision 0012.
TAIL_WEIGHT, CORNER_WEIGHT, BORDER_WEIGHT, AREA_WEIGHT = 1.0, 2.0, 0.4, 0.4
RULED_SHARE = 0.1  # of a side, at each end: where ruled lines may be
SMALLEST_RULED_SIDE = 24  # pixels; the inside of a smaller picture has no vote
INSIDE_WEIGHT = 0.5  # less than the whole: a digit that fills its picture leaves little paper inside
LONGEST_TAIL = 2.0  # limit of the skewness' size, which a few outliers can make arbitrarily large


def is_paper_light(grey: npt.NDArray[np.uint8]) -> bool:
    """Returns True for dark ink on light paper. `grey`: (h, w) uint8, not all of one level."""
    votes = _votes_for_light(grey)
    if min(grey.shape) >= SMALLEST_RULED_SIDE:
        height, width = (round(RULED_SHARE * side) for side in grey.shape)
        inner = grey[height:-height, width:-width]
        votes += INSIDE_WEIGHT * _votes_for_light(inner) if inner.min() < inner.max() else 0.0
    return votes > 0


def _votes_for_light(grey: npt.NDArray[np.uint8]) -> float:
    """Returns the sum of the weighted votes: above 0 for light paper, below 0 for dark paper."""
    light = grey > otsu_level(grey)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    signs = ((corners, CORNER_WEIGHT), (border, BORDER_WEIGHT), (light, AREA_WEIGHT))
    votes = sum(weight * (float(is_light.mean()) - 0.5) for is_light, weight in signs)
    return votes - TAIL_WEIGHT * min(max(_tail(grey), -LONGEST_TAIL), LONGEST_TAIL)


def otsu_level(grey: npt.NDArray[np.uint8]) -> float:
    """Returns the level that best separates the grey levels into two classes (Otsu 1979, IEEE Trans. SMC 9(1)).

    Of several equally good ones, as between two levels with nothing in between, it is the middle.
    """
    counts = np.bincount(grey.ravel(), minlength=256)[:256].astype(np.float64)
    below, mass = counts.cumsum(), (counts * np.arange(256)).cumsum()
    spread = below * (below[-1] - below)  # 0 where one class is empty
    between = np.divide((mass[-1] * below / below[-1] - mass) ** 2, spread, out=np.full(256, -1.0), where=spread > 0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(best[0] + best[-1]) / 2


def _tail(grey: npt.NDArray[np.uint8]) -> float:
    """Returns the skewness of the levels without a plane of light: below 0 when the rarer extreme is dark."""
    levels = grey - grey.mean()
    for axis in (0, 1):
        ramp = np.linspace(-1, 1, grey.shape[axis]) if grey.shape[axis] > 1 else np.zeros(1)
        line = ramp[:, None] if axis == 0 else ramp[None, :]
        # Least squares one axis after the other: the ramps are orthogonal, and each has mean 0.
        power = float((ramp * ramp).sum()) * grey.shape[1 - axis]
        if power:
            levels = levels - line * ((line * levels).sum() / power)
    sigma = float(levels.std())
    return float((levels * levels * levels).mean()) / sigma**3 if sigma > 0 else 0.0
