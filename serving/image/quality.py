"""What may be wrong with a picture, told beside its digit. The bits are those of `python -m serving.image`."""

from enum import IntFlag

import numpy as np
import numpy.typing as npt

from serving.image.paper import Ink
from serving.image.pieces import has_several_glyphs, touches_border

LOWEST_CONTRAST = 51.0  # grey levels of 255 between paper and full ink
DARK_LEVEL = 85  # of 255


class Quality(IntFlag):
    """Remarks on one picture; 0 when there is none."""

    BLANK = 1  # no ink stands out from the paper
    SEVERAL_GLYPHS = 2  # separate pieces of like height side by side: they are read as one digit
    TOUCHES_BORDER = 4  # a stroke reaches the picture's border: some of the digit may be cut off
    LOW_CONTRAST = 8  # ink and paper differ by less than 51 of 255 grey levels
    MOSTLY_DARK = 16  # more than half of the picture is darker than a third of white, whichever of it is ink


def quality_of(grey: npt.NDArray[np.uint8], ink: Ink | None, contrast: float) -> Quality:
    """The remarks on `grey`, (h, w) uint8, with the digit's `ink` (None: blank) and its contrast in grey levels."""
    quality = Quality.MOSTLY_DARK if np.median(grey) < DARK_LEVEL else Quality(0)
    if ink is None:
        return quality | Quality.BLANK
    if has_several_glyphs(ink):
        quality |= Quality.SEVERAL_GLYPHS
    if touches_border(ink):
        quality |= Quality.TOUCHES_BORDER
    if contrast < LOWEST_CONTRAST:
        quality |= Quality.LOW_CONTRAST
    return quality
