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
from serving.image.picture import Framed
from serving.image.quality import quality_of
from serving.image.reduction import reduced
from serving.image.stroke_width import with_mnist_strokes


def frame(grey: npt.NDArray[np.uint8]) -> Framed:
    """Frames the ink of `grey`, (h, w) uint8 of any size, dark ink on light paper or light on dark, as MNIST does."""
    grey = reduced(grey)
    writing = find_writing(grey)
    if writing is None:
        return Framed(np.zeros(SIDE * SIDE, np.uint8), quality_of(grey, None))
    return Framed(frame_ink(writing.ink), quality_of(grey, writing))


def frame_ink(ink: Ink) -> npt.NDArray[np.uint8]:
    """Frames ink, (h, w) uint8, 0 = paper, as MNIST does. Returns (784,) uint8, all 0 without ink."""
    if not ink.any():
        return np.zeros(SIDE * SIDE, np.uint8)
    return centred(to_box(with_mnist_strokes(tight_square(ink)))).reshape(-1)
