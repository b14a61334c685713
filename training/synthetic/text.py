"""Letters, symbols, words and printed digits, from fonts. Letters that look like a digit are left out."""

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import ImageFont

from training.data.arrays import CLASSES, Floats
from training.synthetic.drawing import cropped, slanted
from training.synthetic.fonts import Face
from training.synthetic.placing import exposed

# Left out everywhere: O o (0), I l (1), Z z (2), S s (5), B (8). In print, D and Q, i, j and L, b, g and q have what
# 0, 1, 6 and 9 lack: a straight back, a tail, a dot, a foot, a serif; by hand they have not.
PRINTED_LETTERS = "ACDEFGHJKLMNPQRTUVWXYabcdefghijkmnpqrtuvwxy"
# Written by hand, G reads as 6, J as 1 or 7, T as 7, Y and y as an open 4, a as 0 or 9, d as 0, u and U as an open 0.
HANDWRITTEN_LETTERS = "ACEFHKMNPRVWXcefhkmnprtvwx"
# ? reads as 2 or 7, $ and handwritten & as 8, brackets, braces and slashes as 1.
PRINTED_SYMBOLS = '#&@%*+=~^<>-"'
HANDWRITTEN_SYMBOLS = '#@%*+=~^<-"'
_WORD_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = 72  # pixels per em of what is reduced afterwards
SHEET_SIDES = (28, 40, 64, 96, 144, 216)  # of the pictures that printed digits come in, so that one size is one stack


def letter(faces: Sequence[Face], generator: np.random.Generator) -> Floats:
    """One letter that is unlike every digit."""
    face = _face(faces, generator)
    return _slanted_text(face, _one_of(_letters(face), generator), generator)


def symbol(faces: Sequence[Face], generator: np.random.Generator) -> Floats:
    """One punctuation mark or symbol that is unlike every digit."""
    face = _face(faces, generator)
    symbols = HANDWRITTEN_SYMBOLS if face.style == "handwriting" else PRINTED_SYMBOLS
    return _slanted_text(face, _one_of(symbols, generator), generator)


def word(faces: Sequence[Face], generator: np.random.Generator) -> Floats:
    """Two or three letters side by side."""
    count = int(generator.integers(2, 4))
    text = "".join(_one_of(_WORD_LETTERS, generator) for _ in range(count))
    return _slanted_text(_face(faces, generator), text, generator)


def any_letter(faces: Sequence[Face], letters: str, generator: np.random.Generator) -> Floats:
    """One of these letters, upright: for measuring."""
    return text_ink(_face(faces, generator), _one_of(letters, generator), _SIZE)


def text_ink(face: Face, text: str, size: int) -> Floats:
    """`text` as ink coverage, cropped tightly: (h, w) float32 in 0..1; `size` is pixels per em."""
    mask = _font(face, size).getmask(text, mode="L")
    width, height = mask.size
    return cropped(np.asarray(list(mask), np.float32).reshape(height, width) / np.float32(255))


def printed_digit(faces: Sequence[Face], generator: np.random.Generator) -> tuple[int, npt.NDArray[np.uint8]]:
    """A digit and its picture, (side, side) uint8 with a side of `SHEET_SIDES`, some with remnants of a grid."""
    face, label = _face(faces, generator), int(generator.integers(CLASSES))
    size = round(float(np.exp(generator.uniform(np.log(16), np.log(120)))))
    most = 8.0 if face.style == "handwriting" else 4.0
    ink = text_ink(face, str(label), size)
    if generator.random() < 0.6:
        ink = slanted(ink, float(generator.uniform(-most, most)), float(generator.normal(0, 0.05)))
    side = next(side for side in SHEET_SIDES if side >= (1.25 if side < 144 else 1.01) * max(ink.shape))
    coverage = np.zeros((side, side), np.float32)
    top, left = (_near_middle(side - length, generator) for length in ink.shape)
    coverage[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    if generator.random() < 0.2:
        _draw_grid_remnant(coverage, generator)
    return label, exposed(coverage, generator)


def _draw_grid_remnant(coverage: Floats, generator: np.random.Generator) -> None:
    """One or two of the cell's lines at the very edge of the picture, thin and paler than the digit."""
    width = max(round(len(coverage) * 0.02), 1)
    for turns in generator.choice(4, size=int(generator.integers(1, 3)), replace=False):
        edge = np.rot90(coverage, int(turns))[:width]
        np.maximum(edge, np.float32(generator.uniform(0.25, 0.8)), out=edge)


def _near_middle(slack: int, generator: np.random.Generator) -> int:
    return int(np.clip(round(slack * generator.normal(0.5, 0.12)), 1, max(slack - 1, 1)))


def _letters(face: Face) -> str:
    return HANDWRITTEN_LETTERS if face.style == "handwriting" else PRINTED_LETTERS


def _slanted_text(face: Face, text: str, generator: np.random.Generator) -> Floats:
    ink = text_ink(face, text, _SIZE)
    return slanted(ink, float(generator.uniform(-10, 10)), float(generator.normal(0, 0.1)))


def _face(faces: Sequence[Face], generator: np.random.Generator) -> Face:
    return faces[int(generator.integers(len(faces)))]


def _one_of(text: str, generator: np.random.Generator) -> str:
    return text[int(generator.integers(len(text)))]


@lru_cache(maxsize=4096)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout: Raqm's, where it is installed, kerns differently and would give other pixels.
    return ImageFont.truetype(io.BytesIO(face.content), size, layout_engine=ImageFont.Layout.BASIC)
