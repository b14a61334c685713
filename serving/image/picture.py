"""Types of the preprocessing: its limits, its remarks and its result. Loads neither Pillow nor OpenCV."""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits that are checked before decoding: bytes of the file, and pixels as width x height."""

    max_bytes: int
    max_pixels: int


class Quality(IntFlag):
    """Remarks on what is unusual about a picture; 0: none. Bits and names are public: protos, metrics, .npz files."""

    BLANK = 1  # no ink stands out from the paper
    SEVERAL_GLYPHS = 2  # pieces of similar height stand side by side: Classify refuses them, Read reads them
    TOUCHES_BORDER = 4  # a stroke reaches the picture's border: part of the digit may be cut off
    LOW_CONTRAST = 8  # ink and paper differ by less than 51 of 255 grey levels
    MOSTLY_DARK = 16  # more than half of the picture is darker than a third of white, be it ink or paper


@dataclass(frozen=True, slots=True)
class PictureMeasures:
    """Numbers of what is written in a picture, by which drift of pictures is seen (docs/learning.md)."""

    is_paper_light: bool
    contrast: float  # grey levels between paper and full ink
    stroke_width: float  # in pixels of MNIST's 20x20 box, before strokes are redrawn


@dataclass(frozen=True, slots=True)
class Framed:
    """Digit as MNIST frames it: `pixels` (784,) uint8, 0 = paper, 255 = ink; all 0 when `quality` has BLANK."""

    pixels: npt.NDArray[np.uint8]
    quality: Quality
    measures: PictureMeasures | None = None  # None: blank

    @property
    def is_blank(self) -> bool:
        """Indicates that no ink stands out from the paper."""
        return Quality.BLANK in self.quality


SMALL_BYTES, SMALL_PIXELS = 2**16, 2**16
_COSTLY_CHUNKS = (b"zTXt", b"iTXt", b"iCCP", b"eXIf")
PNG_HEADER = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"


def is_small_png(encoded: bytes) -> bool:
    """Returns True for a PNG file of at most 64 KB and 65,536 pixels, as its header says: a millisecond's work."""
    if len(encoded) > SMALL_BYTES or not encoded.startswith(PNG_HEADER):
        return False
    # Of two headers Pillow takes the second. Packed texts and Exif take a millisecond for each KB.
    if encoded.count(PNG_HEADER[-4:]) > 1 or any(kind in encoded for kind in _COSTLY_CHUNKS):
        return False
    width, height = (int.from_bytes(encoded[start : start + 4]) for start in (16, 20))
    return width * height <= SMALL_PIXELS
