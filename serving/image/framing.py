"""From grey levels to MNIST's frame, by the procedure of MNIST's makers, with what they never had to do before it.

paper and ink are told apart (paper, polarity) -> ruled lines and specks go (pieces) -> tight square box (mnist_box) ->
strokes of a width that MNIST has (stroke_width) -> 20x20, then 28x28 (mnist_box). quality says what may be wrong.
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
    """MNIST's frame around the ink of `grey`: (h, w) uint8 of any size, dark ink on light paper or light on dark."""
    inked = ink_on_paper(grey)
    if inked is None:
        return Framed(np.zeros(SIDE * SIDE, np.uint8), quality_of(grey, None, 0.0))
    ink = without_specks(without_lines(inked.ink))
    box = to_box(with_mnist_strokes(tight_square(ink)))
    return Framed(centred(box).reshape(-1), quality_of(grey, ink, inked.contrast))
