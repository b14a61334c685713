"""From grey levels to MNIST's frame, by the procedure of MNIST's makers (facebookresearch/qmnist; arXiv 1905.10498).

1. Paper and ink are told apart by the border: what lines the picture is paper, whether light or dark.
2. Uneven paper (a photo's shadow) is fitted by a quadratic surface and taken away; paper of one flat level is exact.
3. Specks are dropped, the ink's tight box is cut out and padded to a square: the aspect stays.
4. The square is area-resampled to 20x20 and pasted into 28x28 with the whole-pixel shift that brings the centre of mass
   to pixel index 14.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

SIDE = 28
BOX = 20
FAINTEST_INK = 16.0  # grey levels of 255 between paper and ink below which a picture is blank
FAINTEST_EDGE = 8.0  # of 255: below it a pixel does not widen the box (a JPEG's ringing)
FLAT_PAPER_SHARE = 0.3  # share of pixels with one and the same level that makes it the paper's
SPECK_SHARE = 0.02  # of the largest connected piece's ink: a piece with less is a speck
FIT_ROUNDS = 4

Grey = npt.NDArray[np.uint8]
Ink = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Framed:
    """A digit in MNIST's frame: `pixels` (784,) uint8, 0 = paper, 255 = ink; all 0 when `is_blank`."""

    pixels: npt.NDArray[np.uint8]
    is_blank: bool


def frame(grey: Grey) -> Framed:
    """MNIST's frame around the ink of `grey`: (h, w) uint8 of any size, dark ink on light paper or light on dark."""
    ink = _ink(grey)
    if ink is None:
        return Framed(np.zeros(SIDE * SIDE, np.uint8), is_blank=True)
    box = _tight_box(_without_specks(ink))
    return Framed(_centre(_resample(_square(box))).reshape(-1), is_blank=False)


def _ink(grey: Grey) -> Ink | None:
    """Ink per pixel, 0 to 255, paper exactly 0; None when there is none."""
    levels = grey.astype(np.float64)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    if np.median(border) > (levels.min() + levels.max()) / 2:
        levels = 255.0 - levels
    counts = np.bincount(levels.astype(np.uint8).ravel(), minlength=256)
    paper_level = int(counts.argmax())
    if counts[paper_level] >= FLAT_PAPER_SHARE * grey.size:
        above, noise = levels - paper_level, 0.0
    else:
        above, noise = _above_fitted_paper(levels)
    full = float(np.percentile(above[above > above.max() / 2], 75)) if above.max() > 0 else 0.0
    if full < max(FAINTEST_INK, 5 * noise):
        return None
    floor = min(4 * noise, full / 2)
    return np.clip((above - floor) * (255.0 / (full - floor)), 0.0, 255.0)


def _above_fitted_paper(levels: Ink) -> tuple[Ink, float]:
    """How far each level stands above a quadratic surface through the paper, and the paper's noise (one sigma)."""
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in levels.shape), indexing="ij")
    terms = np.stack([np.ones_like(rows), rows, columns, rows * rows, rows * columns, columns * columns], axis=-1)
    flat_terms, flat_levels = terms.reshape(-1, 6), levels.reshape(-1)
    paper = flat_levels <= np.median(flat_levels)  # ink covers less than half of a picture
    for _ in range(FIT_ROUNDS):
        surface = flat_terms @ np.linalg.lstsq(flat_terms[paper], flat_levels[paper], rcond=None)[0]
        residual = flat_levels - surface
        noise = 1.4826 * float(np.median(np.abs(residual[paper])))  # a sigma that outliers do not move
        paper = np.abs(residual) <= 3 * noise + 1
    return residual.reshape(levels.shape), noise


def _without_specks(ink: Ink) -> Ink:
    """The ink less its small connected pieces."""
    pieces, count = ndimage.label(ink > 64.0, structure=np.ones((3, 3)))
    if count <= 1:
        return ink
    amounts = ndimage.sum_labels(ink, pieces, np.arange(1, count + 1))
    specks = 1 + np.flatnonzero(amounts < SPECK_SHARE * amounts.max())
    if specks.size == 0:
        return ink
    # A speck goes with its soft edge: what is nearer to it than to any piece that stays.
    nearest = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    cleaned: Ink = np.where(np.isin(pieces[tuple(nearest)], specks), 0.0, ink)
    return cleaned


def _tight_box(ink: Ink) -> Ink:
    rows, columns = (np.flatnonzero((ink > FAINTEST_EDGE).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _square(ink: Ink) -> Ink:
    height, width = ink.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(ink, ((top, side - height - top), (left, side - width - left)))


def _resample(square: Ink) -> Ink:
    """Each of the 20x20 pixels is the mean of the area it covers. Pillow's box filter can lose a line."""
    edges = np.linspace(0, len(square), BOX + 1)
    lines = np.arange(len(square))
    overlap = np.minimum(edges[1:, None], lines + 1) - np.maximum(edges[:-1, None], lines)
    share = np.clip(overlap, 0, None) * (BOX / len(square))
    resampled = share @ square @ share.T
    scaled: Ink = resampled * (255.0 / max(resampled.max(), 1.0))
    return scaled


def _centre(box: Ink) -> Grey:
    """The 20x20 box in 28x28, shifted by whole pixels so that the centre of mass comes to pixel index 14."""
    mass = box.sum()
    framed = np.zeros((SIDE, SIDE), np.uint8)
    centre = [float((box.sum(axis=axis) * np.arange(BOX)).sum() / mass) for axis in (1, 0)]
    top, left = (min(max(round(SIDE / 2 - c), 0), SIDE - BOX) for c in centre)
    framed[top : top + BOX, left : left + BOX] = np.round(box).astype(np.uint8)
    return framed
