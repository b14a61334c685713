"""Last steps of MNIST's makers (facebookresearch/qmnist; arXiv 1905.10498): tight box, square, 20x20, 28x28.

1. The ink's tight box is padded to a square, which keeps the aspect ratio.
2. A larger square is area-averaged to 20x20. A smaller one is enlarged by a cubic, since area averaging would leave
   steps. (Steeper edges than a cubic's were tried and are read less well; decision 0012.)
3. The 20x20 are placed in 28x28 with the shift by whole pixels that brings the centre of mass to pixel index 14.
"""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.ink.paper import Ink

SIDE = 28
BOX = 20
FAINTEST_EDGE = 8  # of 255: fainter pixels do not widen the box
EDGE_OF_LARGE = 48  # the same in large pictures, where a soft edge is small against the box
LARGE = 3 * BOX  # pixels of the longer side, from which a picture is large

Box = npt.NDArray[np.float32]  # (20, 20), 0 to 255


def tight_square(ink: Ink) -> Ink:
    """Returns the smallest square, (side, side) uint8, with the ink in its middle. There must be ink."""
    faintest = EDGE_OF_LARGE if max(ink.shape) >= LARGE else FAINTEST_EDGE
    left, top, width, height = cv2.boundingRect(cv2.threshold(ink, faintest, 255, cv2.THRESH_BINARY)[1])
    side = max(height, width)
    square = np.zeros((side, side), np.uint8)
    down, right = (side - height) // 2, (side - width) // 2
    square[down : down + height, right : right + width] = ink[top : top + height, left : left + width]
    return square


def to_box(square: Ink) -> Box:
    """Resamples the square, (side, side), to 20x20 and scales it so that its highest level is 255."""
    resampled = area_averaged(square, BOX) if len(square) >= BOX else enlarged(square, BOX)
    return resampled * (255 / max(float(resampled.max()), 1.0))


def area_averaged(square: Ink, side: int) -> npt.NDArray[np.float32]:
    """Resamples the square to (side, side): each pixel is the mean of the area that it covers."""
    levels = square.astype(np.float32)
    resampled: npt.NDArray[np.float32] = cv2.resize(levels, (side, side), interpolation=cv2.INTER_AREA)
    return resampled


def enlarged(square: Ink, side: int) -> npt.NDArray[np.float32]:
    """Resamples a smaller square to (side, side), smoothly: by Pillow's cubic, which is softer than OpenCV's."""
    picture = Image.fromarray(square.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    resampled: npt.NDArray[np.float32] = np.clip(np.asarray(picture), 0.0, 255.0)  # a cubic overshoots at edges
    return resampled


def centred(box: Box) -> npt.NDArray[np.uint8]:
    """Places the 20x20 box in 28x28 uint8, shifted by whole pixels so that the centre of mass is at pixel index 14."""
    framed = np.zeros((SIDE, SIDE), np.uint8)
    moments = cv2.moments(box)
    # Index 14 of 0..27, not the middle at 13.5, as in the makers' code. Clipped: all of the box must stay inside.
    top, left = (min(max(round(SIDE / 2 - moments[first] / moments["m00"]), 0), SIDE - BOX) for first in ("m01", "m10"))
    framed[top : top + BOX, left : left + BOX] = np.rint(box)
    return framed
