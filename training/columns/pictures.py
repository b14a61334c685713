"""Pieces of ink: one to five digits of one writer that touch, nearly touch, or are broken, or a sign that is none."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.columns.signs import Sign, sized
from training.data.arrays import Floats, LabelledDigits
from training.synthetic.writing import Glyph, Hand, first_touch, sheet

LENGTHS = {1: 0.40, 2: 0.33, 3: 0.17, 4: 0.07, 5: 0.03}  # digits of a piece, and the share of such pieces
MOST_DIGITS = max(LENGTHS)
_PICTURES_OF_A_HAND = 20
_FEWEST_ROWS = 15  # of a writer whose digits are drawn
_MARGIN = 3  # pixels around the glyphs
_INK = 0.5  # coverage from which on a pixel is of a digit
_LEAST_PART = 0.12  # of a digit's height: what is smaller is no part of the piece
_LEAST_SIGN = 0.5  # of a digit's height: lower pieces are not shown to the network
_LEAST_SHARE, _LEAST_SHARE_OF_SMALL, _SMALL = 0.7, 0.6, 20  # of a digit that must be in the piece; a small one's height


@dataclass(frozen=True, slots=True)
class Sources:
    """What pieces are made of: digits, by writer; what draws signs that are none, and their share of all pieces."""

    writers: Sequence[LabelledDigits]
    sign: Sign
    share_of_signs: float


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a digit's ink is: rows (k,), and the first and the last column in each of them, all int64."""

    rows: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    lasts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Ink of a piece, (h, w) uint8, 0 = paper, its digits from left to right (of a sign none), and their extents."""

    ink: npt.NDArray[np.uint8]
    digits: tuple[int, ...]
    extents: tuple[Extent, ...]


def by_writer(digits: LabelledDigits, writer: npt.NDArray[np.uint16]) -> list[LabelledDigits]:
    """The digits of each writer, (n,) of the digits, who wrote enough of them."""
    people, counts = np.unique(writer, return_counts=True)
    return [digits.take(np.flatnonzero(writer == each)) for each in people[counts >= _FEWEST_ROWS]]


def pieces(sources: Sources, generator: np.random.Generator) -> Iterator[Piece]:
    """Pieces without end: a writer is drawn by the number of digits, then a hand, then some pieces of it, and signs."""
    shares = np.array([len(each) for each in sources.writers], np.float64)
    shares /= shares.sum()
    while True:
        hand = _hand(sources.writers[int(generator.choice(len(shares), p=shares))], generator)
        for _ in range(_PICTURES_OF_A_HAND):
            is_sign = generator.random() < sources.share_of_signs
            piece = _sign(sources.sign, hand.height, generator) if is_sign else _piece(hand, generator)
            if piece is not None:
                yield piece


def _hand(digits: LabelledDigits, generator: np.random.Generator) -> Hand:
    return Hand(
        digits,
        height=float(np.exp(generator.uniform(np.log(10), np.log(56)))),
        degrees=float(generator.uniform(-6, 6)),
        shear=float(generator.normal(0, 0.08)),
        pen=float(generator.uniform(0.85, 1.8)),
        jitter=float(generator.uniform(0.01, 0.07)),
    )


def _piece(hand: Hand, generator: np.random.Generator) -> Piece | None:
    """A piece, or None where most of a digit is not in it."""
    glyphs = _written(hand, generator)
    top, left = min(each.top for each in glyphs) - _MARGIN, min(each.left for each in glyphs) - _MARGIN
    glyphs = [each.moved(-left, -top) for each in glyphs]
    height, width = max(each.bottom for each in glyphs) + _MARGIN, max(each.right for each in glyphs) + _MARGIN
    page = sheet(glyphs, height, width)
    if generator.random() < 0.15:
        page = _broken(page, glyphs[int(generator.integers(len(glyphs)))], hand.height, generator)
    ink = _scanned(page, hand.height, generator)
    mask = _large_parts(ink > int(generator.integers(60, 140)), _LEAST_PART * hand.height)
    if not mask.any():
        return None
    extents = [_extent(each, mask) for each in glyphs]
    least = _LEAST_SHARE_OF_SMALL if hand.height < _SMALL else _LEAST_SHARE
    if any(extent is None or share < least for extent, share in extents):
        return None
    digits = tuple(int(each.character) for each in glyphs)
    return Piece(np.where(mask, ink, 0).astype(np.uint8), digits, tuple(extent for extent, _ in extents if extent))


def _sign(draw: Sign, height: float, generator: np.random.Generator) -> Piece | None:
    """A sign as high as digits are, or None where most of it would be lost."""
    page = np.pad(sized(draw(generator), height, generator), _MARGIN)
    ink = _scanned(page, height, generator)
    mask = _large_parts(ink > int(generator.integers(60, 140)), _LEAST_PART * height)
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size or rows[-1] - rows[0] < _LEAST_SIGN * height:
        return None
    return Piece(np.where(mask, ink, 0).astype(np.uint8), (), ())


def _written(hand: Hand, generator: np.random.Generator) -> list[Glyph]:
    """Digits from left to right: most touch or overlap their neighbour, some stand apart by little."""
    count = int(generator.choice(list(LENGTHS), p=list(LENGTHS.values())))
    glyphs: list[Glyph] = []
    for label in hand.digits.labels[generator.integers(0, len(hand.digits), count)]:
        digit = hand.digit(str(label), generator)
        if glyphs:
            slope = -math.tan(math.radians(hand.degrees))
            rise = round(slope * glyphs[-1].right + generator.normal(0, hand.jitter * hand.height))
            digit = digit.moved(0, rise)
            share = generator.uniform(0, 0.07) if generator.random() < 0.8 else generator.uniform(0.05, 0.16)
            touch = first_touch(glyphs[-1], digit) - round(share * hand.height)
            left = max([touch, *(first_touch(each, digit, 2) + 1 for each in glyphs[-3:-1])])
            if generator.random() < 0.15:
                apart = max(first_touch(each, digit, 1) + 1 for each in glyphs[-3:])
                left = max(left, apart) + round(generator.uniform(0, 0.3) * hand.height)
            digit = digit.moved(left, 0)
        glyphs.append(digit)
    return glyphs


def _broken(page: Floats, glyph: Glyph, digit_height: float, generator: np.random.Generator) -> Floats:
    """The page with a thin gap through a stroke of a glyph, at any angle."""
    angle = generator.uniform(0, np.pi)
    x = glyph.left + generator.uniform(0.2, 0.8) * glyph.coverage.shape[1]
    y = glyph.top + generator.uniform(0.15, 0.85) * glyph.coverage.shape[0]
    rows, columns = np.ogrid[: page.shape[0], : page.shape[1]]
    across = np.abs((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle))
    near = np.hypot(columns - x, rows - y) < generator.uniform(0.15, 0.4) * digit_height
    half = generator.uniform(0.2, 0.06 * digit_height + 0.3)
    return np.where(near, page * np.clip(across - half, 0, 1), page).astype(np.float32)


def _scanned(page: Floats, digit_height: float, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The page as a scanner or a camera sees it: out of focus, pressed harder, noisy, or none of it."""
    radius = generator.uniform(0, 0.05) * digit_height if generator.random() < 0.6 else 0.0
    if radius > 0.3:
        page = ndimage.gaussian_filter(page, radius)
        page = page / max(float(page.max()), 0.01)
    page = np.clip(page * generator.uniform(1, 1.15), 0, 1)
    if generator.random() < 0.3:
        page = np.clip(page + generator.normal(0, 0.06, page.shape) * (page > 0.1), 0, 1)
    return np.asarray(np.rint(page * 255), np.uint8)


def _large_parts(strong: npt.NDArray[np.bool_], least: float) -> npt.NDArray[np.bool_]:
    """Those connected parts whose box is at least so high or so wide."""
    parts, _ = ndimage.label(strong, np.ones((3, 3)))
    sizes = [max(each.stop - each.start for each in box) for box in ndimage.find_objects(parts)]
    kept: npt.NDArray[np.bool_] = np.array([False, *(size >= least for size in sizes)])[parts]
    return kept


def _extent(glyph: Glyph, mask: npt.NDArray[np.bool_]) -> tuple[Extent | None, float]:
    """Where the glyph's ink is in the piece, None if nowhere, and which share of it."""
    whole = glyph.coverage >= _INK
    ink = whole & mask[glyph.top : glyph.bottom, glyph.left : glyph.right]
    rows = np.flatnonzero(ink.any(axis=1))
    if not rows.size:
        return None, 0.0
    firsts, behind = ink.argmax(axis=1)[rows], ink[:, ::-1].argmax(axis=1)[rows]
    lasts = ink.shape[1] - 1 - behind
    extent = Extent(rows + glyph.top, firsts + glyph.left, lasts + glyph.left)
    return extent, float(ink.sum() / whole.sum())
