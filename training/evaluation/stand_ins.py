"""Stand-ins for the handwriting of other populations, made from validation rows: recipes are chosen on them.

Each imitates how such digits were written, scanned or stored, and goes through the service's preprocessing.
No test row and no picture of those populations is in them.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from training.data.arrays import SIDE, Floats, LabelledDigits
from training.data.handwriting import ink, photographed, placed
from training.data.preprocessing import Preprocess, preprocess_pictures
from training.evaluation.thinning import paths, thinned
from training.synthetic.drawing import cropped

Grey = npt.NDArray[np.uint8]
DIGITS_OF_EACH = 1_000
_LARGE = 3 * SIDE  # pixels a side of a field that is redrawn large
_SEED = 20261123


def stand_ins(
    validation: LabelledDigits, count: int = DIGITS_OF_EACH, preprocess: Preprocess = preprocess_pictures
) -> Mapping[str, LabelledDigits]:
    """The first `count` validation digits in each disguise, preprocessed, with their labels.

    Raises:
        DataError: the preprocessing cannot run.
    """
    pictures, labels = stand_in_pictures(validation, count), validation.labels[:count]
    preprocessed = preprocess(pictures)
    return {name: LabelledDigits(preprocessed[name].pixels, labels) for name in pictures}


def stand_in_pictures(validation: LabelledDigits, count: int = DIGITS_OF_EACH) -> Mapping[str, Grey]:
    """The pictures of `stand_ins`, before they are preprocessed: (n, h, w) uint8 by the disguise's name."""
    digits = validation.take(np.arange(min(count, len(validation)), dtype=np.int64))
    return {name: _disguised(digits, name) for name in DISGUISES}


def _disguised(digits: LabelledDigits, name: str) -> Grey:
    pictures = []
    for row, pixels in enumerate(digits.pixels):
        generator = np.random.default_rng([_SEED, list(DISGUISES).index(name), row])
        pictures.append(DISGUISES[name](pixels, generator))
    return np.stack(pictures)


def scan_8x8(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A bitmap of 32x32 counted in blocks of 4x4, as the UCI digits were made: 17 levels, light on dark, no margin."""
    bitmap = _stretched(_tight_ink(pixels), 32, generator.uniform(0, 1)) > generator.uniform(0.3, 0.55)
    counts = bitmap.reshape(8, 4, 8, 4).sum(axis=(1, 3))
    grey: Grey = np.rint(counts * (255 / 16)).astype(np.uint8)
    return grey


def scan_16x16(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A postal scan: grey, stretched towards a box of 16x16 that it fills, soft, light on dark."""
    field = _stretched(_tight_ink(pixels), 64, generator.uniform(0.3, 1))
    field = ndimage.gaussian_filter(field, generator.uniform(0.5, 3))
    small = field.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    grey: Grey = np.rint(255 * np.clip(small / max(float(small.max()), 1e-6), 0, 1)).astype(np.uint8)
    return grey


def binarised_form(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A form scanned in black and white: hard, ragged edges, strokes a little thinner or thicker than they were."""
    field = ndimage.gaussian_filter(_large_ink(pixels), generator.uniform(0.5, 2))
    ragged = field + generator.uniform(0.02, 0.2) * ndimage.gaussian_filter(generator.normal(0, 1, field.shape), 1)
    return _black_on_white(ragged > generator.uniform(0.25, 0.6))


def pen_polyline(pixels: Grey, generator: np.random.Generator) -> Grey:
    """Pen-tablet strokes: the middle line of each stroke, sampled coarsely, drawn with a pen of 1 or 2 pixels."""
    large = np.pad(_large_ink(pixels) > 0.5, 1)
    skeleton = thinned(large[None])[0]
    picture = Image.new("L", (_LARGE + 2, _LARGE + 2), 255)
    draw, pen, stride = ImageDraw.Draw(picture), int(generator.integers(1, 3)), int(generator.integers(3, 9))
    for path in paths(skeleton):
        corners = [*path[:-1:stride], path[-1]]
        moved = np.asarray(corners, np.float64) + generator.normal(0, 0.4, (len(corners), 2))
        draw.line([(float(x), float(y)) for y, x in moved], fill=0, width=pen)
    return np.asarray(picture)


def thick_strokes(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A felt pen: strokes wider by a sixth to one and a half of MNIST's pixels on each side."""
    reach = generator.uniform(0.5, 4.5)
    return _black_on_white(ndimage.distance_transform_edt(_large_ink(pixels) <= 0.5) <= reach)


def broken_strokes(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A failing pen on rough paper, in black and white: gaps across the strokes, holes in them, specks around them."""
    field = _large_ink(pixels) > 0.5
    rows, columns = np.mgrid[0:_LARGE, 0:_LARGE]
    for _ in range(int(generator.integers(1, 5))):  # gaps: narrow bands at any angle
        angle, width = generator.uniform(0, np.pi), generator.uniform(1, 4)
        middle = generator.uniform(0.25, 0.75, 2) * _LARGE
        across = (rows - middle[0]) * np.cos(angle) + (columns - middle[1]) * np.sin(angle)
        along = (columns - middle[1]) * np.cos(angle) - (rows - middle[0]) * np.sin(angle)
        field &= ~((abs(across) < width / 2) & (abs(along) < 12))
    rough = ndimage.gaussian_filter(generator.normal(0, 1, field.shape), 1.2)
    field &= rough < np.quantile(rough, generator.uniform(0.75, 0.98))
    field |= generator.random(field.shape) < generator.uniform(0, 0.004)
    return _black_on_white(field)


def photo(pixels: Grey, generator: np.random.Generator) -> Grey:
    """A phone's picture in grey: textured paper under a shadow, out of focus, noisy; the digit off the middle."""
    coverage = placed(ink(pixels, _LARGE), 112, 112, int(generator.integers(4, 24)), int(generator.integers(4, 24)))
    color = generator.uniform(20, 110, 3)
    return np.asarray(photographed(coverage, color, int(generator.integers(2**31))).convert("L"))


def _large_ink(pixels: Grey) -> Floats:
    return ink(pixels, _LARGE)


def _tight_ink(pixels: Grey) -> Floats:
    return cropped(_large_ink(pixels))


def _stretched(box: Floats, side: int, share: float) -> Floats:
    """`box` resampled to fill (side, side): `share` 0 keeps the aspect, 1 stretches it away altogether."""
    longest = max(box.shape)
    height, width = (round(side * (length / longest) ** (1 - share)) for length in box.shape)
    resized = Image.fromarray(box).resize((max(width, 1), max(height, 1)), Image.Resampling.BILINEAR)
    field = np.zeros((side, side), np.float32)
    top, left = (side - resized.height) // 2, (side - resized.width) // 2
    field[top : top + resized.height, left : left + resized.width] = np.asarray(resized)
    return field


def _black_on_white(mask: npt.NDArray[np.bool_]) -> Grey:
    return np.where(mask, 0, 255).astype(np.uint8)


DISGUISES: Mapping[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "8x8 scans": scan_8x8,
    "16x16 scans": scan_16x16,
    "binarised forms": binarised_form,
    "pen polylines": pen_polyline,
    "thick strokes": thick_strokes,
    "broken strokes": broken_strokes,
    "photos": photo,
}
