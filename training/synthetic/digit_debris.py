"""Digits made unreadable: several in one picture, cut off, shuffled. What would still show a digit is thrown away."""

import numpy as np
from PIL import Image

from training.data.arrays import SIDE, Floats, LabelledDigits
from training.synthetic.drawing import cropped

_BRIGHT = 0.25  # ink above this counts when a piece is checked
_THINNEST = 0.13  # smaller over larger spread of the ink, squared: below it a piece is a stroke, and a stroke is a 1
_LEAST_INK = 0.12  # of the digit's: less is a speck

# Which digits lose everything that shows them when only this side is left. The others keep a smaller digit: the top of
# an 8 is a 0, the right half of an 8 a 3, the top of a 6 a 1.
_CUTS: dict[str, tuple[int, ...]] = {"top": (0, 4, 5), "bottom": (0, 3, 5), "left": (0, 3), "right": (0,)}


def collage(digits: LabelledDigits, generator: np.random.Generator) -> Floats:
    """Two or three digits side by side, or two that overlap: ink (h, w) float32 in 0..1."""
    count = 3 if generator.random() < 0.25 else 2
    overlap = generator.uniform(0.1, 0.35) if count == 2 and generator.random() < 0.4 else 0.0
    pieces = [_ink(digits, generator, overlap > 0) for _ in range(count)]
    gaps = [0, *(round(-overlap * piece.shape[1]) or int(generator.integers(0, 7)) for piece in pieces[1:])]
    width = sum(piece.shape[1] for piece in pieces) + sum(gaps)
    height = max(piece.shape[0] for piece in pieces) + 6
    sheet = np.zeros((height, max(width, 8)), np.float32)
    left = 0
    for gap, piece in zip(gaps, pieces, strict=True):
        left += gap
        top = int(generator.integers(0, height - piece.shape[0] + 1))
        part = sheet[top : top + piece.shape[0], left : left + piece.shape[1]]
        np.maximum(part, piece[:, : part.shape[1]], out=part)
        left += piece.shape[1]
    return cropped(sheet)


def cut(digits: LabelledDigits, generator: np.random.Generator) -> Floats:
    """The field (28, 28) with a quarter to under a half of a digit in its place; redrawn until no digit is seen."""
    sides = list(_CUTS)
    while True:
        side = sides[int(generator.integers(len(sides)))]
        row = int(generator.integers(len(digits)))
        if digits.labels[row] not in _CUTS[side]:
            continue
        whole = _field(digits, row)
        piece = _kept(whole, side, generator.uniform(0.25, 0.45))
        if piece.sum() > _LEAST_INK * whole.sum() and not _is_stroke(piece):
            return piece


def shuffled(digits: LabelledDigits, generator: np.random.Generator) -> Floats:
    """The field (28, 28) cut into squares that change places, all of them, and are turned."""
    while True:
        row = int(generator.integers(len(digits)))
        if digits.labels[row] != 1:  # pieces of a 1 are strokes again
            break
    field, side = _field(digits, row), int(generator.choice([7, 14], p=[0.7, 0.3]))
    places = [(top, left) for top in range(0, SIDE, side) for left in range(0, SIDE, side)]
    order = _derangement(len(places), generator)
    result = np.zeros_like(field)
    for (top, left), source in zip(places, order, strict=True):
        from_top, from_left = places[source]
        patch = field[from_top : from_top + side, from_left : from_left + side]
        result[top : top + side, left : left + side] = np.rot90(patch, int(generator.integers(4)))
    return result


def _ink(digits: LabelledDigits, generator: np.random.Generator, not_one: bool) -> Floats:
    """A digit, cropped tightly; not a 1 where digits overlap: it would vanish in the other."""
    while True:
        row = int(generator.integers(len(digits)))
        if not (not_one and digits.labels[row] == 1):
            return cropped(_field(digits, row))


def _field(digits: LabelledDigits, row: int) -> Floats:
    field: Floats = digits.pixels[row].reshape(SIDE, SIDE).astype(np.float32) / np.float32(255)
    return field


def _kept(whole: Floats, side: str, share: float) -> Floats:
    """`whole` with only this share of the ink's box left, at that side."""
    turns = {"top": 0, "right": 1, "bottom": 2, "left": 3}[side]
    turned: Floats = np.rot90(whole, turns).copy()
    inked = np.flatnonzero((turned > _BRIGHT).any(axis=1))
    turned[inked[0] + max(round((inked[-1] + 1 - inked[0]) * share), 1) :] = 0
    kept: Floats = np.rot90(turned, -turns)
    return kept


def _is_stroke(piece: Floats) -> bool:
    """True when the ink lies along one line."""
    rows, columns = np.nonzero(piece > _BRIGHT)
    if len(rows) < 8:
        return True
    small, large = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    return bool(small < _THINNEST * large)


def _derangement(count: int, generator: np.random.Generator) -> list[int]:
    while True:
        order = generator.permutation(count)
        if not (order == np.arange(count)).any():
            return [int(place) for place in order]


def enlarged(ink: Floats, side: int) -> Floats:
    """`ink` redrawn smooth so that its longer side is `side` pixels: the size of a scanned digit."""
    height, width = (max(round(side * length / max(ink.shape)), 1) for length in ink.shape)
    picture = Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32) / np.float32(255)
