"""From grey levels to ink: the paper's level, even or not, becomes 0 and full ink becomes 255.

1. Paper of one flat level is taken exactly: what the picture holds is not touched.
2. Other paper (a photo's shadow) is fitted by a quadratic surface and taken away, and so is its noise; in a picture too
   small for that it is what the lightest quarter has (soft edges may be most of the rest).
3. Full ink is the level that a stroke's core has; fainter strokes keep their share of it.
4. What is no stroke's soft edge but lies far from any (a JPEG's ringing, the paper's texture) is paper.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from serving.image.polarity import is_paper_light, otsu_level

FAINTEST_INK = 16.0  # grey levels of 255 between paper and ink below which a picture is blank
STROKE = 64.0  # of 255 of full ink: at least as much is a stroke, less is its soft edge
FLAT_PAPER_SHARE = 0.3  # share of pixels with one and the same level that makes it the paper's
NO_OUTLIER = 0.97  # of the highest level: a core this high has no outlier above it
SOFT_EDGE_SHARE = 0.03  # of the longer side: how far a soft edge reaches from its stroke, at least one pixel
SMALLEST_FIT_SIDE = 20  # pixels; in a smaller picture soft edges would be taken for uneven paper
FIT_ROUNDS = 4
FIT_SIDE = 32  # the surface is fitted to about so many pixels a side: it has six unknowns

Grey = npt.NDArray[np.uint8]
Ink = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inked:
    """A picture's `ink`, (h, w) float64, 0 = paper, 255 = full, and by how many grey levels full ink differs."""

    ink: Ink
    contrast: float


def ink_on_paper(grey: Grey) -> Inked | None:
    """What is written in `grey`, (h, w) uint8 of either polarity; None when nothing stands out from the paper."""
    if grey.min() == grey.max():
        return None
    paper_dark = 255 - grey if is_paper_light(grey) else grey
    middle = otsu_level(paper_dark)
    levels = paper_dark.astype(np.float64)
    paper = paper_dark[paper_dark <= middle]
    counts = np.bincount(paper)
    noise = 0.0
    if counts.max() >= FLAT_PAPER_SHARE * grey.size:
        above = levels - int(counts.argmax())
    elif min(grey.shape) < SMALLEST_FIT_SIDE:
        above = levels - float(np.percentile(paper, 25))
    else:
        above, noise = _above_fitted_paper(levels, middle)
    full = _full_ink(above)
    if full < max(FAINTEST_INK, 5 * noise):
        return None
    floor = min(4 * noise, full / 2)
    return Inked(_near_strokes(np.clip((above - floor) * (255.0 / (full - floor)), 0.0, 255.0)), full)


def _full_ink(above: Ink) -> float:
    """What a stroke's core stands above paper: the highest level, unless it is an outlier; 0 without ink."""
    highest = float(above.max())
    if highest <= 0:
        return 0.0
    core = float(np.percentile(above[above > highest / 2], 75))
    return highest if core >= NO_OUTLIER * highest else core


def _above_fitted_paper(levels: Ink, middle: float) -> tuple[Ink, float]:
    """How far each level stands above a quadratic surface through the paper, and the paper's noise (one sigma)."""
    rows, columns = (np.linspace(-1, 1, n) for n in levels.shape)
    steps = tuple(slice(None, None, max(1, n // FIT_SIDE)) for n in levels.shape)
    terms = _terms(rows[steps[0]], columns[steps[1]]).reshape(-1, 6)
    sample = levels[steps].reshape(-1)
    paper = sample <= max(min(float(np.median(sample)), middle), float(sample.min()))  # what surely is no ink
    for _ in range(FIT_ROUNDS):
        surface = np.linalg.lstsq(terms[paper], sample[paper], rcond=None)[0]
        residual = sample - terms @ surface
        noise = 1.4826 * float(np.median(np.abs(residual[paper])))  # a sigma that outliers do not move
        paper = np.abs(residual) <= 3 * noise + 1
    return levels - _terms(rows, columns) @ surface, noise


def _terms(rows: Ink, columns: Ink) -> Ink:
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=-1)


def _near_strokes(ink: Ink) -> Ink:
    """The ink less what lies further from a stroke than its soft edge reaches."""
    reach = max(1, round(SOFT_EDGE_SHARE * max(ink.shape)))
    near = ndimage.maximum_filter(ink, size=2 * reach + 1, mode="constant") >= STROKE
    return np.where(near, ink, 0.0)
