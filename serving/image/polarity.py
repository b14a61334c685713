"""Whether a picture is dark ink on light paper or light ink on dark paper. Owns the evidence, not the paper's level.

No single sign can be trusted: a digit that fills its picture lies on the border, remnants of a form's lines are the
border, and a bold digit can cover half of an 8x8 picture. So four signs vote:

1. The distribution's tail: ink is the rarer extreme, so the grey levels lean towards it. Uneven light is taken away
   first, since a shadow has a tail too.
2. The corners, which a digit reaches least.
3. The border and 4. the area: whichever side has more of them is paper.
"""

import numpy as np
import numpy.typing as npt

# What each sign weighs, from simulated populations: forms, postal scans, photos, cells cut out of a grid.
TAIL_WEIGHT, CORNER_WEIGHT, BORDER_WEIGHT, AREA_WEIGHT = 1.0, 2.0, 0.4, 0.4
LONGEST_TAIL = 2.0  # a few outlying pixels make the tail as long as one likes


def is_paper_light(grey: npt.NDArray[np.uint8]) -> bool:
    """True for dark ink on light paper. `grey`: (h, w) uint8, not all of one level."""
    light = grey > otsu_level(grey)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    signs = ((corners, CORNER_WEIGHT), (border, BORDER_WEIGHT), (light, AREA_WEIGHT))
    votes = sum(weight * (float(is_light.mean()) - 0.5) for is_light, weight in signs)
    return votes - TAIL_WEIGHT * min(max(_tail(grey), -LONGEST_TAIL), LONGEST_TAIL) > 0


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
