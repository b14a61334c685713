"""Remarks on the quality of a picture, which accompany its digit: what may be wrong with it."""

import numpy as np
import numpy.typing as npt

from serving.image.paper import Ink
from serving.image.picture import Quality
from serving.image.pieces import has_several_glyphs, touches_border

LOWEST_CONTRAST = 51.0  # grey levels of 255 between paper and full ink: a fifth
DARK_LEVEL = 85  # of 255: a third


def quality_of(grey: npt.NDArray[np.uint8], ink: Ink | None, contrast: float) -> Quality:
    """Returns the remarks on `grey`, (h, w) uint8.

    `ink`: of the digit alone, (h, w), 0 to 255; None: blank. `contrast`: grey levels between paper and full ink.
    """
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
