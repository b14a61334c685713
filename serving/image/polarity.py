"""Whether a picture is dark ink on light paper or light ink on dark paper. Owns the evidence, not the paper's level.

No single sign can be trusted: a digit that fills its picture lies on the border, remnants of a form's lines are the
border, and a bold digit can cover half of an 8x8 picture. So four signs vote:

1. The distribution's tail: ink is the rarer extreme, so the grey levels lean towards it. Uneven light is taken away
   first, since a shadow has a tail too.
2. The corners, which a digit reaches least.
3. The border and 4. the area: whichever side has more of them is paper.

They vote on the whole picture and again on its inside, which the lines of a form or a grid do not reach.
"""

import numpy as np
import numpy.typing as npt

# What each sign weighs, from simulated populations: forms, postal scans, photos, cells cut out of a grid.
TAIL_WEIGHT, CORNER_WEIGHT, BORDER_WEIGHT, AREA_WEIGHT = 1.0, 2.0, 0.4, 0.4
RULED_SHARE = 0.1  # of a side, at each end: where ruled lines may be
SMALLEST_RULED_SIDE = 24  # pixels; a smaller picture has no inside worth a vote
INSIDE_WEIGHT = 0.5  # a digit that fills its picture leaves little paper inside
LONGEST_TAIL = 2.0  # a few outlying pixels make the tail as long as one likes


def is_paper_light(grey: npt.NDArray[np.uint8]) -> bool:
    """True for dark ink on light paper. `grey`: (h, w) uint8, not all of one level."""
    votes = _votes_for_light(grey)
    if min(grey.shape) >= SMALLEST_RULED_SIDE:
        height, width = (round(RULED_SHARE * side) for side in grey.shape)
        inner = grey[height:-height, width:-width]
        votes += INSIDE_WEIGHT * _votes_for_light(inner) if inner.min() < inner.max() else 0.0
    return votes > 0


def _votes_for_light(grey: npt.NDArray[np.uint8]) -> float:
    """Above 0 when the signs say that the paper is light."""
    light = grey > otsu_level(grey)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    signs = ((corners, CORNER_WEIGHT), (border, BORDER_WEIGHT), (light, AREA_WEIGHT))
    votes = sum(weight * (float(is_light.mean()) - 0.5) for is_light, weight in signs)
    return votes - TAIL_WEIGHT * min(max(_tail(grey), -LONGEST_TAIL), LONGEST_TAIL)


def otsu_level(grey: npt.NDArray[np.uint8]) -> float:
    """The level that parts the grey levels best in two (Otsu 1979): the middle, where several do."""
    counts = np.bincount(grey.ravel(), minlength=256)[:256].astype(np.float64)
    below, mass = counts.cumsum(), (counts * np.arange(256)).cumsum()
    spread = below * (below[-1] - below)
    between = np.divide((mass[-1] * below / below[-1] - mass) ** 2, spread, out=np.full(256, -1.0), where=spread > 0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(best[0] + best[-1]) / 2


def _tail(grey: npt.NDArray[np.uint8]) -> float:
    """The skewness of the levels less a plane of light: below 0 when the rarer extreme is dark."""
    levels = grey - grey.mean()
    for axis in (0, 1):
        ramp = np.linspace(-1, 1, grey.shape[axis]) if grey.shape[axis] > 1 else np.zeros(1)
        line = ramp[:, None] if axis == 0 else ramp[None, :]
        power = float((ramp * ramp).sum()) * grey.shape[1 - axis]
        if power:
            levels = levels - line * ((line * levels).sum() / power)
    sigma = float(levels.std())
    return float((levels * levels * levels).mean()) / sigma**3 if sigma > 0 else 0.0
