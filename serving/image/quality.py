"""Remarks on the quality of a picture, which accompany its digit: what may be wrong with it."""

import numpy as np

from serving.image.ink.glyphs import has_several_glyphs
from serving.image.ink.paper import STROKE, Grey, Ink
from serving.image.ink.writing import Writing
from serving.image.picture import Quality

LOWEST_CONTRAST = 51.0  # grey levels of 255 between paper and full ink: a fifth
DARK_LEVEL = 85  # of 255: a third


def quality_of(grey: Grey, writing: Writing | None) -> Quality:
    """Returns the remarks on `grey`, (h, w) uint8, and on what is written there; None: blank."""
    dark = np.count_nonzero(grey < DARK_LEVEL)
    quality = Quality.MOSTLY_DARK if 2 * dark >= grey.size else Quality(0)
    if writing is None:
        return quality | Quality.BLANK
    if len(writing.components) > 1 and has_several_glyphs(writing.ink):
        quality |= Quality.SEVERAL_GLYPHS
    if _touches_border(writing.ink):
        quality |= Quality.TOUCHES_BORDER
    if writing.contrast < LOWEST_CONTRAST:
        quality |= Quality.LOW_CONTRAST
    return quality


def _touches_border(ink: Ink) -> bool:
    """Returns True when a stroke reaches the picture's border: part of the digit may be cut off."""
    half = 2 * STROKE  # of full ink: a soft edge at the border cuts nothing off
    return max(int(edge.max()) for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1])) >= half
