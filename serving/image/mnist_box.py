"""Last steps of MNIST's makers (facebookresearch/qmnist; arXiv 1905.10498): tight box, square, 20x20, 28x28.

1. The ink's tight box is padded to a square, which keeps the aspect ratio.
2. A larger square is area-averaged to 20x20. A smaller one is enlarged by a cubic, since area averaging would leave
   steps. (Steeper edges than a cubic's were tried and are read less well; decision 0012.)
3. The 20x20 are placed in 28x28 with the shift by whole pixels that brings the centre of mass to pixel index 14.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.paper import Ink

SIDE = 28
BOX = 20
FAINTEST_EDGE = 8.0  # of 255: fainter pixels do not widen the box
EDGE_OF_LARGE = 48.0  # the same in large pictures, where a soft edge is small against the box
LARGE = 3 * BOX  # pixels of the longer side, from which a picture is large


def tight_square(ink: Ink) -> Ink:
    """Returns the smallest square, (side, side), that holds the ink, with the ink in its middle. There must be ink."""
    faintest = EDGE_OF_LARGE if max(ink.shape) >= LARGE else FAINTEST_EDGE
    rows, columns = (np.flatnonzero((ink > faintest).any(axis=axis)) for axis in (1, 0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(box, ((top, side - height - top), (left, side - width - left)))


def to_box(square: Ink) -> Ink:
    """Resamples the square, (side, side), to 20x20 and scales it so that its highest level is 255."""
    resampled = area_averaged(square, BOX) if len(square) >= BOX else enlarged(square, BOX)
    scaled: Ink = resampled * (255.0 / max(resampled.max(), 1.0))
    return scaled


def area_averaged(square: Ink, side: int) -> Ink:
    """Resamples the square to (side, side): each pixel is the mean of the area that it covers.

    Pillow's box filter counts source pixels whole, and can lose a line.
    """
    edges = np.linspace(0, len(square), side + 1)
    lines = np.arange(len(square))
    # (side, length): by how much source line j lies in target line i; negative where it does not.
    overlap = np.minimum(edges[1:, None], lines + 1) - np.maximum(edges[:-1, None], lines)
    share = np.clip(overlap, 0, None) * (side / len(square))
    averaged: Ink = share @ square @ share.T  # the mean over an area is separable: rows, then columns
    return averaged


def enlarged(square: Ink, side: int) -> Ink:
    """Resamples a smaller square to (side, side), smoothly."""
    picture = Image.fromarray(square.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture, np.float64), 0.0, 255.0)  # a cubic overshoots at edges


def centred(box: Ink) -> npt.NDArray[np.uint8]:
    """Places the 20x20 box in 28x28 uint8, shifted by whole pixels so that the centre of mass is at pixel index 14."""
    mass = box.sum()
    framed = np.zeros((SIDE, SIDE), np.uint8)
    centre = [float((box.sum(axis=axis) * np.arange(BOX)).sum() / mass) for axis in (1, 0)]
    # Index 14 of 0..27, not the middle at 13.5, as in the makers' code. Clipped: all of the box must stay inside.
    top, left = (min(max(round(SIDE / 2 - c), 0), SIDE - BOX) for c in centre)
    framed[top : top + BOX, left : left + BOX] = np.round(box).astype(np.uint8)
    return framed
