"""Places ink into the 28x28 field, as a program might send it raw, or onto a sheet for the service's preprocessing."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from training.data.arrays import PIXELS, SIDE, Floats, Pixels

_SMALLEST_BOX, _FAINTEST = 13, 0.45


def raw(ink: Floats, generator: np.random.Generator) -> Pixels:
    """`ink`, cropped tightly, area-resampled into a random box of the field: (784,) uint8."""
    box = int(generator.integers(_SMALLEST_BOX, SIDE + 1))
    height, width = (max(round(box * length / max(ink.shape)), 1) for length in ink.shape)
    small = np.asarray(
        Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX), np.float32
    )
    strength = generator.uniform(_FAINTEST, 1) if generator.random() < 0.3 else 1.0
    field = np.zeros((SIDE, SIDE), np.float32)
    top, left = (int(generator.integers(0, SIDE - length + 1)) for length in (height, width))
    field[top : top + height, left : left + width] = small * (strength * 255 / max(float(small.max()), 1.0))
    return np.rint(field).astype(np.uint8).reshape(PIXELS)


def sheet(ink: Floats, side: int, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """`ink` somewhere on paper, (side, side) uint8: levels, polarity, blur and noise vary as scans and canvases do.

    Ink larger than the sheet, less a narrow margin, is reduced to fit.
    """
    room = side - 2 * max(side // 24, 1)
    if max(ink.shape) > room:
        ink = _reduced(ink, room)
    coverage = np.zeros((side, side), np.float32)
    top, left = (int(generator.integers(1, max(side - length, 2))) for length in ink.shape)
    height, width = min(ink.shape[0], side - top), min(ink.shape[1], side - left)
    coverage[top : top + height, left : left + width] = ink[:height, :width]
    return exposed(coverage, generator)


def exposed(coverage: Floats, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Ink coverage (h, w) in 0..1 as grey levels of that size."""
    paper, dark = 255.0, 0.0
    if generator.random() < 0.5:
        paper, dark = generator.uniform(150, 255), generator.uniform(0, 100)
    levels = paper + (dark - paper) * coverage
    if generator.random() < 0.25:
        radius = generator.uniform(0.003, 0.02) * max(coverage.shape)
        blurred = Image.fromarray(levels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        levels = np.asarray(blurred, np.float32)
    if generator.random() < 0.25:
        levels = levels + generator.normal(0, generator.uniform(1, 7), levels.shape)
    if generator.random() < 0.3:
        levels = 255 - levels
    grey: npt.NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return grey


def _reduced(ink: Floats, side: int) -> Floats:
    height, width = (max(round(side * length / max(ink.shape)), 1) for length in ink.shape)
    small = Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)
