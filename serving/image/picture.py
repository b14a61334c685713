"""What is asked and said of a picture, for those who pass it on. Loads none of the libraries that read pictures."""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before decoding: `max_bytes` of the file, `max_pixels` of width x height."""

    max_bytes: int
    max_pixels: int


class Quality(IntFlag):
    """Remarks on one picture; 0 when there is none."""

    BLANK = 1  # no ink stands out from the paper
    SEVERAL_GLYPHS = 2  # separate pieces of like height side by side: they are read as one digit
    TOUCHES_BORDER = 4  # a stroke reaches the picture's border: some of the digit may be cut off
    LOW_CONTRAST = 8  # ink and paper differ by less than 51 of 255 grey levels
    MOSTLY_DARK = 16  # more than half of the picture is darker than a third of white, whichever of it is ink


@dataclass(frozen=True, slots=True)
class Framed:
    """A digit in MNIST's frame: `pixels` (784,) uint8, 0 = paper, 255 = ink; all 0 when `quality` holds BLANK."""

    pixels: npt.NDArray[np.uint8]
    quality: Quality

    @property
    def is_blank(self) -> bool:
        """True when no ink stands out from the paper."""
        return Quality.BLANK in self.quality
