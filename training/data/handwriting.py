"""MNIST's small digits redrawn large: smooth ink, and paper as a camera sees it. Pillow and numpy; no files."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from training.data.arrays import SIDE, Floats

_OVERSAMPLING = 4  # drawn this much larger and reduced, which smooths the edge of the ink
_EDGE = 0.42  # where between paper (0) and ink (1) the edge of a stroke is drawn


def ink(pixels: npt.NDArray[np.uint8], side: int, hard: bool = False) -> Floats:
    """One digit as ink coverage, (side, side) float32 in 0..1.

    Args:
        pixels: (784,) uint8, 0 = paper.
        side: how large to draw the whole 28x28 field.
        hard: without smooth edges, as a simple drawing program draws.
    """
    small = Image.fromarray(pixels.reshape(SIDE, SIDE))
    large = small.resize((side * _OVERSAMPLING,) * 2, Image.Resampling.BICUBIC)
    soft = large.filter(ImageFilter.GaussianBlur(side * _OVERSAMPLING / SIDE / 3))
    drawn = Image.fromarray(np.where(np.asarray(soft) > 255 * _EDGE, 255, 0).astype(np.uint8))
    method = Image.Resampling.NEAREST if hard else Image.Resampling.BOX
    return np.asarray(drawn.resize((side, side), method), np.float32) / np.float32(255)


def placed(coverage: Floats, height: int, width: int, top: int, left: int) -> Floats:
    """`coverage` on an empty sheet, (height, width) float32; what lies outside the sheet is cut off."""
    sheet = np.zeros((height, width), np.float32)
    rows, columns = (
        slice(max(top, 0), min(top + len(coverage), height)),
        slice(max(left, 0), min(left + len(coverage), width)),
    )
    sheet[rows, columns] = coverage[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return sheet


def mixed(coverage: Floats, ink_color: npt.ArrayLike, paper: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Ink on paper, (height, width, 3) uint8: the two colours mixed by coverage."""
    share = coverage[..., np.newaxis]
    colors = share * np.asarray(ink_color, np.float32) + (1 - share) * np.asarray(paper, np.float32)
    return np.asarray(np.clip(np.rint(colors), 0, 255), np.uint8)


def photographed(coverage: Floats, ink_color: npt.ArrayLike, seed: int) -> Image.Image:
    """Pen on warm, textured paper under an uneven shadow, slightly out of focus, with the sensor's noise."""
    generator = np.random.default_rng(seed)
    height, width = coverage.shape
    grain = np.asarray(
        Image.fromarray(generator.normal(0, 1, (height // 3 + 1, width // 3 + 1)).astype(np.float32)).resize(
            (width, height)
        )
    )
    paper = np.asarray([236, 226, 205], np.float32) + 5 * grain[..., np.newaxis]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    shadow = 0.62 + 0.38 / (
        1 + np.exp(-(x + 0.6 * y - 0.75) * 6)
    )  # dark corner at the top left, fading across the sheet
    uneven_pen = coverage * (0.9 + 0.06 * np.clip(grain, -1.5, 1.5))
    picture = Image.fromarray(mixed(uneven_pen.astype(np.float32), ink_color, paper)).filter(
        ImageFilter.GaussianBlur(1.2)
    )
    lit = np.asarray(picture, np.float32) * shadow[..., np.newaxis] + generator.normal(0, 3, (height, width, 3))
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
