"""What may be wrong with a picture, told beside its digit. The bits are those of `python -m serving.image`."""

import numpy as np
import numpy.typing as npt

from serving.image.paper import Ink
from serving.image.picture import Quality
from serving.image.pieces import has_several_glyphs, touches_border

LOWEST_CONTRAST = 51.0  # grey levels of 255 between paper and full ink
DARK_LEVEL = 85  # of 255


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
