"""Turns grey levels into ink: the paper's level, even or not, becomes 0 and full ink becomes 255.

1. Paper of one flat level is subtracted exactly: everything else in the picture is kept.
2. Uneven paper (a photo with a shadow) is fitted by a quadratic surface, which is subtracted, and so is its noise. In a
   picture too small for a fit the paper's level is its lower quartile (soft edges may be most of the rest).
3. Full ink is the level of the strokes' cores. Fainter strokes keep their share of it.
4. Faint ink far from any stroke (a JPEG's ringing, the paper's texture) is paper.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from serving.image.polarity import is_paper_light, otsu_level

FAINTEST_INK = 16.0  # grey levels of 255 between paper and full ink; with less a picture is blank
STROKE = 64.0  # of 255 of full ink: from here on it is a stroke, below it its soft edge
FLAT_PAPER_SHARE = 0.3  # share of all pixels that must have one level for flat paper
NO_OUTLIER = 0.97  # of the highest level: with a core this high the highest level is no outlier
SOFT_EDGE_SHARE = 0.03  # of the longer side: reach of a soft edge from its stroke, at least one pixel
SMALLEST_FIT_SIDE = 20  # pixels; in a smaller picture soft edges would pass for uneven paper
FIT_ROUNDS = 4  # of fitting and dropping outliers
FIT_SIDE = 32  # pixels a side that the surface is fitted to, about: it has only six unknowns

Grey = npt.NDArray[np.uint8]
Ink = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inked:
    """Ink of a picture, (h, w) float64, 0 = paper, 255 = full ink, and the grey levels between paper and full ink."""

    ink: Ink
    contrast: float


def ink_on_paper(grey: Grey) -> Inked | None:
    """Returns what is written in `grey`, (h, w) uint8 of either polarity; None when nothing stands out."""
    if grey.min() == grey.max():
        return None
    # From here on ink is lighter than paper, as in MNIST.
    paper_dark = 255 - grey if is_paper_light(grey) else grey
    middle = otsu_level(paper_dark)
    levels = paper_dark.astype(np.float64)
    paper = paper_dark[paper_dark <= middle]  # never empty: Otsu's level is not below the lowest grey level
    counts = np.bincount(paper)
    noise = 0.0
    if counts.max() >= FLAT_PAPER_SHARE * grey.size:
        above = levels - int(counts.argmax())
    elif min(grey.shape) < SMALLEST_FIT_SIDE:
        above = levels - float(np.percentile(paper, 25))
    else:
        above, noise = _above_fitted_paper(levels, middle)
    full = _full_ink(above)
    if full < max(FAINTEST_INK, 5 * noise):  # the highest of many thousand normal values lies at about 4 sigma
        return None
    floor = min(4 * noise, full / 2)  # what noise may reach counts as paper; at least the upper half stays ink
    return Inked(_near_strokes(np.clip((above - floor) * (255.0 / (full - floor)), 0.0, 255.0)), full)


def _full_ink(above: Ink) -> float:
    """Returns the level of the strokes' cores above paper: the highest, unless it is an outlier; 0 without ink."""
    highest = float(above.max())
    if highest <= 0:
        return 0.0
    core = float(np.percentile(above[above > highest / 2], 75))  # the lower quartiles hold the soft edges
    return highest if core >= NO_OUTLIER * highest else core


def _above_fitted_paper(levels: Ink, middle: float) -> tuple[Ink, float]:
    """Returns the levels above a quadratic surface through the paper, (h, w), and the paper's noise (one sigma)."""
    rows, columns = (np.linspace(-1, 1, n) for n in levels.shape)
    steps = tuple(slice(None, None, max(1, n // FIT_SIDE)) for n in levels.shape)
    terms = _terms(rows[steps[0]], columns[steps[1]]).reshape(-1, 6)
    sample = levels[steps].reshape(-1)
    # Starts from pixels that are surely paper: up to the median, since ink is the smaller part, and up to Otsu's level.
    # That level is of all pixels and may lie below every sampled one: at least the lowest of the sample is paper.
    paper = sample <= max(min(float(np.median(sample)), middle), float(sample.min()))
    for _ in range(FIT_ROUNDS):  # a trimmed least-squares fit: each round drops and takes back pixels by their residual
        surface = np.linalg.lstsq(terms[paper], sample[paper], rcond=None)[0]
        residual = sample - terms @ surface
        noise = 1.4826 * float(np.median(np.abs(residual[paper])))  # median absolute deviation as a sigma
        paper = np.abs(residual) <= 3 * noise + 1  # + 1: grey levels are rounded, so no noise may be measured as 0
    return levels - _terms(rows, columns) @ surface, noise


def _terms(rows: Ink, columns: Ink) -> Ink:
    """Returns the six terms of a quadratic surface at each pixel, (h, w, 6)."""
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=-1)


def _near_strokes(ink: Ink) -> Ink:
    """Returns the ink without what lies further from a stroke than a soft edge reaches."""
    reach = max(1, round(SOFT_EDGE_SHARE * max(ink.shape)))
    near = ndimage.maximum_filter(ink, size=2 * reach + 1, mode="constant") >= STROKE
    return np.where(near, ink, 0.0)
