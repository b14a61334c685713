"""Makes strips of pieces of ink: what the column network sees of them.

A strip is the piece without its slant, HEIGHT pixels high. The network answers for each FRAME pixels of its width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.paper import Ink
from serving.image.segmentation.columns import Doubles, Numbers, ReadStrips, single_digits

HEIGHT, MARGIN = 32, 2  # pixels of a strip, and of them empty ones on each side
FRAME = 4  # pixels of width for which the network answers once
MOST_COLUMNS = 2**13  # pixels of width, of the strips of a picture that the network reads in one go
WIDEST = 12  # times its height: a wider piece is made narrower


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A piece for the column network."""

    pixels: npt.NDArray[np.uint8]  # (HEIGHT, w), w a multiple of FRAME; 0 = paper
    edges: Numbers  # (cuts + 2,): frames at which the strip and the parts behind cuts start, and its end
    scale: float  # a column x of the piece lies at the column scale * x + offset of the strip
    offset: float


def strip_of(upright: Ink, cuts: Sequence[int] | Numbers = ()) -> Strip:
    """Returns the strip of a piece without slant, (h, w) uint8, that is cut at these columns, ascending."""
    left, top, width, height = cv2.boundingRect(upright)
    inner = HEIGHT - 2 * MARGIN
    scaled = min(max(1, round(width * inner / height)), WIDEST * HEIGHT)
    tight = upright[top : top + height, left : left + width]
    interpolation = cv2.INTER_AREA if height > inner else cv2.INTER_CUBIC
    frames = -(-(scaled + 2 * MARGIN) // FRAME)
    pixels = np.zeros((HEIGHT, frames * FRAME), np.uint8)
    pixels[MARGIN:-MARGIN, MARGIN : MARGIN + scaled] = cv2.resize(tight, (scaled, inner), interpolation=interpolation)
    scale = scaled / width
    offset = MARGIN - left * scale
    at = np.asarray(cuts, np.float64) * scale + offset
    inside = np.clip(np.ceil((at - FRAME / 2) / FRAME), 0, frames).astype(np.int64)
    return Strip(pixels, np.concatenate(([0], inside, [frames])), scale, offset)


def singles_of(strips: Sequence[Strip], read_strips: ReadStrips) -> list[Doubles]:
    """Returns single_digits() of what the network says of strips: of the first ones, up to MOST_COLUMNS together."""
    columns = np.cumsum([strip.pixels.shape[1] for strip in strips])
    few = int(columns.searchsorted(MOST_COLUMNS, "right"))
    frames = read_strips([strip.pixels for strip in strips[:few]]) if few else []
    return single_digits(frames, [strip.edges for strip in strips[: len(frames)]])
