"""Measures pictures for drift: a few numbers for each, from which nobody can draw the picture again.

Needs NumPy alone: raw pixels are measured in processes that never load OpenCV.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from serving.image.picture import Framed

SIDE = 28
INK = 64  # of 255: from here on a pixel counts for the size
PIXEL_MEASURES = ("ink", "level", "stroke_width", "size", "row", "column", "slant", "aspect")
PICTURE_MEASURES = ("remark", "polarity", "contrast", "picture_stroke_width")  # as serving.drift.reference has them
_LEAST_VARIANCE = np.float32(1 / 12)  # of ink in one row of pixels, in square pixels
_AXIS = np.arange(SIDE, dtype=np.float32) + 0.5
_ROWS, _COLUMNS = np.repeat(_AXIS, SIDE), np.tile(_AXIS, SIDE)
# Columns: sum, sums weighted by row and by column, second moments. One product of matrices is far faster than six sums.
_MOMENTS = np.stack(
    [np.ones_like(_ROWS), _ROWS, _COLUMNS, _ROWS * _ROWS, _ROWS * _COLUMNS, _COLUMNS * _COLUMNS], axis=1
)


def measured(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Measures `pixels`, (n, 784) uint8, 0 = paper. Returns (n, 8) float32, by PIXEL_MEASURES; blanks are all 0.

    ink: share of full ink. level: of the darkest pixel, 0 to 255. stroke_width: twice the area divided by the outline,
    as in image.stroke_width. size: longer side of the ink's box. row, column: centre of mass from the top and from the
    left, where a pixel's centre is at +0.5. These four in pixels. slant: shear without which ink down and across
    are not correlated, horizontal over vertical, above 0 to the right. aspect: spread (standard deviation) of the ink
    across, once that shear is taken away, over its spread down.
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
    means = moments[:, 1:] / np.maximum(total, 1)[:, np.newaxis]
    slant, aspect = _shape(means)
    ink, width = total / (255 * SIDE * SIDE), 2 * total / np.maximum(outline, 1)
    columns = [ink, pixels.max(axis=1), width, sizes, means[:, :2], slant, aspect]
    return np.column_stack(columns).astype(np.float32, copy=False)


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


def _shape(means: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns slant and aspect, (n,) each, from means weighted by ink, (n, 5): _MOMENTS but the first."""
    row, column, down, both, across = means.T
    variance = np.maximum(down - row * row, _LEAST_VARIANCE)
    slant = (row * column - both) / variance
    aspect = np.sqrt(np.maximum((across - column * column) / variance - slant * slant, 0))
    return slant, aspect


def _extent(is_ink: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int64]:
    """Returns the lines from the first to the last with ink, (n,), of fields (n, 28, 28). `axis`: along a line."""
    lines = np.any(is_ink, axis=axis)
    first, last = lines.argmax(axis=1), SIDE - lines[:, ::-1].argmax(axis=1)
    extent: npt.NDArray[np.int64] = np.where(lines.any(axis=1), last - first, 0)
    return extent
