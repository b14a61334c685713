"""The committed sample pictures and test digits, made again from validation rows of MNIST. Never from test rows."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.arrays import CLASSES, LabelledDigits
from training.data.handwriting import ink, mixed, photographed, placed
from training.files import write_atomically

DIGITS_PER_CLASS = 40
_BLACK, _WHITE, _BLUE_INK = (20, 20, 24), (255, 255, 255), (52, 66, 120)
_PHOTO_ORIENTATION = 6  # EXIF: to be turned a quarter clockwise before it is looked at
_EXIF_ORIENTATION_TAG = 0x0112

# Which of each digit's validation rows is drawn: one that anybody reads at once.
_CHOSEN = {0: 5, 1: 4, 2: 7, 3: 6, 4: 9, 5: 1, 6: 2, 7: 2, 8: 1, 9: 2}


def write_samples(validation: LabelledDigits, samples_folder: Path, data_folder: Path) -> list[Path]:
    """Write the sample pictures and `digits.npz`; their paths."""
    files = {samples_folder / name: content for name, content in sample_pictures(validation).items()}
    files[data_folder / "digits.npz"] = digits_file(validation)
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def digits_file(validation: LabelledDigits) -> bytes:
    """An npz with the first 40 rows of each digit: pixels (400, 784) uint8 and label (400,) int64, in split order."""
    rows = np.sort(np.concatenate([_rows_of(validation, digit)[:DIGITS_PER_CLASS] for digit in range(CLASSES)]))
    chosen = validation.take(rows)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, pixels=chosen.pixels, label=chosen.labels)
    return buffer.getvalue()


def sample_pictures(validation: LabelledDigits) -> Mapping[str, bytes]:
    """The pictures by file name; the name says the form and the digit."""
    digits = {digit: validation.pixels[_rows_of(validation, digit)[place]] for digit, place in _CHOSEN.items()}
    grey_scan = placed(ink(digits[0], 150), 160, 140, 8, -12)
    return {
        "grey-scan-0.tiff": _encoded(
            Image.fromarray(mixed(grey_scan, (70,) * 3, (228,) * 3)).convert("L"), "TIFF", compression="tiff_lzw"
        ),
        "blue-on-yellow-1.bmp": _encoded(
            Image.fromarray(mixed(placed(ink(digits[1], 90), 90, 70, 0, -10), _BLUE_INK, (250, 240, 190))), "BMP"
        ),
        "raw-28x28-2.bin": digits[2].tobytes(),
        "black-on-white-3.png": _encoded(
            Image.fromarray(mixed(placed(ink(digits[3], 170), 300, 200, 115, 25), _BLACK, _WHITE)), "PNG", optimize=True
        ),
        "drawing-program-4.webp": _encoded(
            Image.fromarray(mixed(placed(ink(digits[4], 220, hard=True), 256, 256, 5, 40), (0, 0, 0), _WHITE)),
            "WEBP",
            lossless=True,
        ),
        "transparent-5.png": _transparent(digits[5]),
        "tiny-6.png": _encoded(
            Image.fromarray(mixed(ink(digits[6], 24), _BLACK, _WHITE)).convert("L"), "PNG", optimize=True
        ),
        "white-on-black-7.png": _encoded(
            Image.fromarray(mixed(placed(ink(digits[7], 240), 280, 280, 30, 5), _WHITE, (0, 0, 0))).convert("L"),
            "PNG",
            optimize=True,
        ),
        "photo-8.jpg": _encoded(
            photographed(placed(ink(digits[8], 360), 640, 480, 170, 45), _BLUE_INK, seed=8), "JPEG", quality=80
        ),
        "turned-photo-9.jpg": _turned_photo(digits[9]),
    }


def _transparent(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Dark ink whose coverage is the alpha channel; without it the picture would be one dark square."""
    coverage = placed(ink(pixels, 200), 220, 220, 15, 0)
    picture = np.full((*coverage.shape, 4), (*_BLACK, 0), np.uint8)
    picture[..., 3] = np.rint(coverage * 255)
    return _encoded(Image.fromarray(picture), "PNG", optimize=True)


def _turned_photo(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A photo stored lying on its side, as phones do, with the EXIF note that says how to turn it."""
    upright = photographed(placed(ink(pixels, 300), 480, 360, 120, 50), (60, 58, 66), seed=9)
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION_TAG] = _PHOTO_ORIENTATION
    return _encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=80, exif=exif)


def _rows_of(digits: LabelledDigits, digit: int) -> npt.NDArray[np.int64]:
    return np.flatnonzero(digits.labels == digit)


def _encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
