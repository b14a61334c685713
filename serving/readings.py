"""Readings: what a picture holds, as lines of glyphs, and where each stands in the picture."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]  # x, y, width, height in pixels of the upright picture as sent


class Layout(IntEnum):
    """Layout of a picture, as the caller knows it. Values and names are public: protos and HTTP."""

    AUTO = 0  # the server decides
    DIGIT = 1  # one digit
    LINE = 2  # one line
    PAGE = 3  # several lines


@dataclass(frozen=True, slots=True, eq=False)
class Glyph:
    """One sign of a line, read as a digit. What is no digit (a letter, a comma) is a glyph too, and refused."""

    box: Box
    digit: int  # most probable, 0 to 9; set also when refused
    probabilities: npt.NDArray[np.float32]  # (10,), calibrated
    novelty: float  # 0: a typical digit, 1: no digit
    refused: bool  # the service does not vouch for the digit


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a picture."""

    glyphs: tuple[Glyph, ...]  # in reading order
    text: str  # digits of the glyphs that are not refused
    probability: float  # calibrated probability that the whole line is right, 0 to 1
    refused: bool  # something as large as a digit could not be read: digits may be missing
    candidates: npt.NDArray[np.int64]  # (n,): of each glyph the row of its pixels among the picture's candidates


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one picture holds."""

    lines: tuple[Line, ...]  # in reading order; none for a picture without ink
    width: int  # of the upright picture as sent, in pixels
    height: int
    quality: IntFlag  # image.picture.Quality of the picture
    version: int  # of the model that read it
    decode_seconds: float = 0.0  # from admission until the picture was decoded and segmented
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    batch_images: int = 0  # images that shared the inference; 0: the picture is blank and none ran
