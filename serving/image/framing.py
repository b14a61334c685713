"""Frames a digit: from grey levels to 28x28 by the procedure of MNIST's makers, and the cleaning that must precede it.

1. paper, polarity: separate ink from paper.
2. pieces: remove ruled lines and specks.
3. mnist_box: tight square box.
4. stroke_width: bring strokes to a width that MNIST has.
5. mnist_box: 20x20, then 28x28.
6. quality: remarks on what may be wrong with the picture.
"""

import numpy as np
import numpy.typing as npt

from serving.image.mnist_box import SIDE, centred, tight_square, to_box
from serving.image.paper import ink_on_paper
from serving.image.picture import Framed
from serving.image.pieces import without_lines, without_specks
from serving.image.quality import quality_of
from serving.image.stroke_width import with_mnist_strokes


def frame(grey: npt.NDArray[np.uint8]) -> Framed:
    """Frames the ink of `grey`, (h, w) uint8 of any size, dark ink on light paper or light on dark, as MNIST does."""
    inked = ink_on_paper(grey)
    if inked is None:
        return Framed(np.zeros(SIDE * SIDE, np.uint8), quality_of(grey, None, 0.0))
    ink = without_specks(without_lines(inked.ink))  # lines first: the largest piece must be the digit, not a line
    box = to_box(with_mnist_strokes(tight_square(ink)))
    return Framed(centred(box).reshape(-1), quality_of(grey, ink, inked.contrast))
