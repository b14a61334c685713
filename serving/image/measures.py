"""Measures pictures for drift: a few numbers for each, from which nobody can draw the picture again.

Needs NumPy alone: raw pixels are measured in processes that never load OpenCV.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from serving.image.picture import Framed

SIDE = 28
INK = 64  # of 255: from here on a pixel counts for the size
PIXEL_MEASURES = ("ink", "level", "stroke_width", "size", "row", "column")
PICTURE_MEASURES = ("remark", "polarity", "contrast", "picture_stroke_width")  # as serving.drift.reference has them
_AXIS = np.arange(SIDE, dtype=np.float32) + 0.5
# Columns: sum, and sums weighted by row and by column. One product of matrices is far faster than three sums.
_MOMENTS = np.stack([np.ones(SIDE * SIDE, np.float32), np.repeat(_AXIS, SIDE), np.tile(_AXIS, SIDE)], axis=1)


def measured(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Measures `pixels`, (n, 784) uint8, 0 = paper. Returns (n, 6) float32, by PIXEL_MEASURES; blanks are all 0.

    ink: share of full ink. level: of the darkest pixel, 0 to 255. stroke_width: twice the area divided by the outline,
    as in image.stroke_width. size: longer side of the ink's box. row, column: centre of mass from the top and from the
    left, where a pixel's centre is at +0.5. The last four in pixels.
    """
    levels = pixels.astype(np.float32)
    moments = levels @ _MOMENTS
    total = moments[:, 0]
    field = levels.reshape(-1, SIDE, SIDE)
    padded = np.zeros((len(pixels), SIDE + 1, SIDE + 1), np.float32)  # ink at the border has an outline there, too
    padded[:, 1:, 1:] = field
    down = np.diff(padded, axis=1)[:, :, 1:]
    across = np.diff(padded, axis=2)[:, 1:, :]
    outline = np.sqrt(down * down + across * across).sum(axis=(1, 2))
    outline += field[:, -1, :].sum(axis=1) + field[:, :, -1].sum(axis=1)
    is_ink: npt.NDArray[np.bool_] = pixels.reshape(-1, SIDE, SIDE) >= INK
    sizes = np.maximum(_extent(is_ink, 2), _extent(is_ink, 1))
    # Division by the largest of what is there and 1 grey level: a blank has 0 of all.
    centres = moments[:, 1:] / np.maximum(total, 1)[:, np.newaxis]
    ink, width = total / (255 * SIDE * SIDE), 2 * total / np.maximum(outline, 1)
    return np.column_stack([ink, pixels.max(axis=1), width, sizes, centres]).astype(np.float32, copy=False)


def measures_of(picture: Framed) -> Iterator[tuple[str, float]]:
    """Yields what framing found in a picture, by PICTURE_MEASURES; of a blank one the remark alone.

    remark: the place of the lowest bit of its quality, from 1; 0: none. polarity: 0 for dark ink on light paper, 1.
    """
    quality = int(picture.quality)
    yield "remark", (quality & -quality).bit_length()
    if (found := picture.measures) is not None:
        yield "polarity", 0 if found.is_paper_light else 1
        yield "contrast", found.contrast
        yield "picture_stroke_width", found.stroke_width


def _extent(is_ink: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int64]:
    """Returns the lines from the first to the last with ink, (n,), of fields (n, 28, 28). `axis`: along a line."""
    lines = np.any(is_ink, axis=axis)
    first, last = lines.argmax(axis=1), SIDE - lines[:, ::-1].argmax(axis=1)
    extent: npt.NDArray[np.int64] = np.where(lines.any(axis=1), last - first, 0)
    return extent
