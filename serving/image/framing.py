"""Frames a digit: from grey levels to 28x28 by the procedure of MNIST's makers, and the cleaning that must precede it.

1. writing: separates ink from paper (polarity, paper) and from what lies around it (clutter).
2. mnist_box: tight square box.
3. stroke_width: brings strokes to a width that MNIST has.
4. mnist_box: 20x20, then 28x28.
5. quality: remarks on what may be wrong with the picture.
"""

import numpy as np
import numpy.typing as npt

from serving.image.ink.paper import Ink
from serving.image.ink.writing import find_writing
from serving.image.mnist_box import SIDE, centred, tight_square, to_box
from serving.image.picture import Framed, PictureMeasures
from serving.image.quality import quality_of
from serving.image.reduction import reduced
from serving.image.stroke_width import width_in_box, with_mnist_strokes


def frame(grey: npt.NDArray[np.uint8]) -> Framed:
    """Frames the ink of `grey`, (h, w) uint8 of any size, dark ink on light paper or light on dark, as MNIST does."""
    grey = reduced(grey)
    writing = find_writing(grey)
    if writing is None:
        return Framed(np.zeros(SIDE * SIDE, np.uint8), quality_of(grey, None))
    square = tight_square(writing.ink)
    width = width_in_box(square)
    measures = PictureMeasures(writing.is_paper_light, writing.contrast, width)
    return Framed(_boxed(square, width), quality_of(grey, writing), measures)


def frame_ink(ink: Ink) -> npt.NDArray[np.uint8]:
    """Frames ink, (h, w) uint8, 0 = paper, as MNIST does. Returns (784,) uint8, all 0 without ink."""
    if not ink.any():
        return np.zeros(SIDE * SIDE, np.uint8)
    square = tight_square(ink)
    return _boxed(square, width_in_box(square))


def _boxed(square: Ink, width: float) -> npt.NDArray[np.uint8]:
    """Returns the ink of a tight square, whose strokes have this width, as (784,) uint8."""
    return centred(to_box(with_mnist_strokes(square, width))).reshape(-1)
