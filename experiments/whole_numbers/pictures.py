"""Pictures of whole handwritten numbers with what they show: `make` and `KINDS`.

A picture depends on its kind, seed and split alone. All of its digits are by one writer; no writer is in two splits.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from experiments.whole_numbers.handwriting import SPLITS, Handwriting, mnist_handwriting
from experiments.whole_numbers.layouts import (
    REDUCTION,
    Drawing,
    a4_page,
    boxed,
    combed,
    lines,
    low_resolution,
    one_line,
    ruled,
    sudoku,
    with_marks,
)
from training.data.arrays import Floats, LabelledDigits
from training.data.handwriting import photographed
from training.synthetic.writing import Boxes, Glyph, boxes, is_touching, sheet

Grey = npt.NDArray[np.uint8]  # (height, width), 0 = black


class Line(NamedTuple):
    """One number: its digits, and the tight box of each one's ink, (k, 4) int64 x, y, width, height in pixels."""

    text: str
    boxes: Boxes


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its truth.

    Attributes:
        grey: (height, width) uint8.
        lines: from the top; digits from the left.
        non_digits: (m, 4) boxes of marks that are no part of any text.
        touching: share of neighbouring digits whose ink meets, as counted in the finished drawing.
    """

    grey: Grey
    lines: tuple[Line, ...]
    non_digits: Boxes
    touching: float


def make(kind: str, seed: int, split: str, handwriting: Handwriting | None = None) -> Picture:
    """The picture of this kind, seed and split, the same each time.

    Args:
        kind: one of KINDS.
        seed: not negative.
        split: one of SPLITS; they share no writer and no random number.
        handwriting: digits and writers other than MNIST's, for tests.

    Raises:
        DataError: MNIST cannot be had.
    """
    source = mnist_handwriting() if handwriting is None else handwriting
    generator = np.random.default_rng([zlib.crc32(kind.encode()), SPLITS.index(split), seed])
    return _KINDS[kind](source.random_writer(split, generator), generator)


# Paper, ink and camera


def _scanned(drawing: Drawing, generator: np.random.Generator) -> Picture:
    """Dark ink on flat white."""
    coverage = _coverage(drawing)
    darkest = generator.uniform(0, 70)
    return _finished(drawing, np.rint(255 - coverage * (255 - darkest)).astype(np.uint8))


def _canvas(drawing: Drawing, _: np.random.Generator) -> Picture:
    """White on black, as MNIST is and as drawing pages send it."""
    return _finished(drawing, np.rint(255 * _coverage(drawing)).astype(np.uint8))


def _photo(drawing: Drawing, generator: np.random.Generator) -> Picture:
    """Paper as a camera sees it: texture, shadow, blur and noise; in grey."""
    color, seed = generator.uniform(20, 110, 3), int(generator.integers(2**31))
    return _finished(drawing, np.asarray(photographed(_coverage(drawing), color, seed).convert("L")))


def _reduced(drawing: Drawing, generator: np.random.Generator) -> Picture:
    """A scan in low resolution: a third of the size each way, boxes too."""
    rows, columns = (-(-length // REDUCTION) * REDUCTION for length in drawing.printed.shape)
    small = [[_small(glyph, rows, columns) for glyph in line] for line in drawing.lines]
    printed = np.zeros((rows // REDUCTION, columns // REDUCTION), np.float32)
    return _scanned(Drawing(small, printed), generator)


def _small(glyph: Glyph, rows: int, columns: int) -> Glyph:
    picture = Image.fromarray(np.rint(255 * sheet([glyph], rows, columns)).astype(np.uint8)).reduce(REDUCTION)
    coverage = np.asarray(picture, np.float32) / np.float32(255)
    down, across = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
    top, left = int(down[0]), int(across[0])
    return Glyph(glyph.character, coverage[top : down[-1] + 1, left : across[-1] + 1], left, top)


def _either(drawing: Drawing, generator: np.random.Generator) -> Picture:
    """A scan or a photo."""
    return (_scanned if generator.random() < 0.5 else _photo)(drawing, generator)


def _coverage(drawing: Drawing) -> Floats:
    ink = sheet([glyph for line in drawing.lines for glyph in line], *drawing.printed.shape)
    return np.maximum(ink, drawing.printed)


def _finished(drawing: Drawing, grey: Grey) -> Picture:
    truth, pairs, touching = [], 0, 0
    for line in drawing.lines:
        digits = [glyph for glyph in line if glyph.character]
        truth.append(Line("".join(each.character for each in digits), boxes(digits)))
        pairs += len(digits) - 1
        touching += sum(is_touching(one, other) for one, other in pairwise(digits))
    marks = [glyph for line in drawing.lines for glyph in line if not glyph.character]
    return Picture(grey, tuple(truth), boxes(marks), touching / max(pairs, 1))


_Draw = Callable[[LabelledDigits, np.random.Generator], Drawing]
_Colour = Callable[[Drawing, np.random.Generator], Picture]


def _kind(draw: _Draw, colour: _Colour) -> Callable[[LabelledDigits, np.random.Generator], Picture]:
    return lambda digits, generator: colour(draw(digits, generator), generator)


_SPACED, _TOUCHING = one_line(touching=0), one_line(touching=0.2)
_KINDS: Mapping[str, Callable[[LabelledDigits, np.random.Generator], Picture]] = {
    "scan-spaced": _kind(_SPACED, _scanned),
    "scan-touching": _kind(_TOUCHING, _scanned),
    "canvas-spaced": _kind(_SPACED, _canvas),
    "canvas-touching": _kind(_TOUCHING, _canvas),
    "photo-spaced": _kind(_SPACED, _photo),
    "photo-touching": _kind(_TOUCHING, _photo),
    "boxes": _kind(boxed, _either),
    "comb": _kind(combed, _either),
    "ruled": _kind(ruled, _either),
    "low-resolution": _kind(low_resolution, _reduced),
    "marks": _kind(with_marks, _either),
    "lines-scan": _kind(lines, _scanned),
    "lines-photo": _kind(lines, _photo),
    "a4-page": _kind(a4_page, _either),
    "sudoku": _kind(sudoku, _either),
}
KINDS: tuple[str, ...] = tuple(_KINDS)
