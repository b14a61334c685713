"""Handwriting with the digits of one writer: lines of it, and the place of each digit in them.

Coordinates of a line are pixels to the right and downwards from where its baseline starts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from training.data.arrays import SIDE, Floats, LabelledDigits
from training.data.handwriting import ink
from training.synthetic.drawing import slanted

EDGE = 0.3  # coverage from which on a pixel counts as ink: of boxes, and of digits that touch
_FIELD = 20  # pixels of the 28 that MNIST fits a digit into
_MOST_ENLARGED = 1.3  # a digit that is low because it is wide is not made much wider still

Boxes = npt.NDArray[np.int64]  # (k, 4): x, y, width, height in pixels


@dataclass(frozen=True, slots=True)
class Glyph:
    """Ink and its place: coverage (height, width) float32 in 0..1; character "" where it is no digit."""

    character: str
    coverage: Floats
    left: int
    top: int

    def moved(self, right: int, down: int) -> Self:
        """The same ink elsewhere."""
        return type(self)(self.character, self.coverage, self.left + right, self.top + down)

    @property
    def right(self) -> int:
        """First column after it."""
        return self.left + int(self.coverage.shape[1])

    @property
    def bottom(self) -> int:
        """First row below it."""
        return self.top + int(self.coverage.shape[0])


@dataclass(frozen=True, slots=True)
class Hand:
    """How one line is written.

    Attributes:
        digits: of one writer.
        height: of a digit, pixels.
        degrees: by which the line rises to the right.
        shear: of the digits, by columns a row.
        pen: 1 is MNIST's stroke; more is thicker.
        touching: share of neighbours that are to touch.
        gap: least space between two digits that do not touch, a share of the height; they get up to 0.4 more.
        jitter: of the baseline, a share of the height, one standard deviation.
    """

    digits: LabelledDigits
    height: float
    degrees: float = 0
    shear: float = 0
    pen: float = 1
    touching: float = 0
    gap: float = 0.1
    jitter: float = 0.03

    def digit(self, character: str, generator: np.random.Generator) -> Glyph:
        """One digit, its tight ink standing on row 0, column 0."""
        pixels = self.digits.pixels[generator.choice(np.flatnonzero(self.digits.labels == int(character)))]
        rows = np.flatnonzero((pixels.reshape(SIDE, SIDE) > 107).any(axis=1))
        enlarged = min(_FIELD / max(len(rows), 1), _MOST_ENLARGED) * generator.normal(1, 0.05)
        side = max(round(self.height * enlarged * SIDE / _FIELD), SIDE // 2)
        pressed = np.clip(pixels * (self.pen * generator.normal(1, 0.05)), 0, 255).astype(np.uint8)
        drawn = slanted(
            ink(pressed, side), self.degrees + generator.normal(0, 1.5), self.shear + generator.normal(0, 0.03)
        )
        return Glyph(character, drawn, 0, -len(drawn))

    def line(
        self,
        text: str,
        generator: np.random.Generator,
        marks: Sequence[tuple[int, Floats, float]] = (),
    ) -> list[Glyph]:
        """A line from left to right.

        Args:
            text: its digits.
            generator: of everything that is random.
            marks: what is no digit: (the number of digits in front of it, ink, the height of its lower edge above the
                baseline as a share of the digits' height). Marks do not touch.
        """
        glyphs: list[Glyph] = []
        for place in range(len(text) + 1):
            for _, drawn, above in (mark for mark in marks if mark[0] == place):
                self._append(glyphs, Glyph("", drawn, 0, -len(drawn) - round(above * self.height)), False, generator)
            if place < len(text):
                is_touching = bool(glyphs) and glyphs[-1].character != "" and generator.random() < self.touching
                self._append(glyphs, self.digit(text[place], generator), is_touching, generator)
        return glyphs

    def _append(self, glyphs: list[Glyph], new: Glyph, is_touching: bool, generator: np.random.Generator) -> None:
        end = glyphs[-1].right if glyphs else 0
        rise = round(-math.tan(math.radians(self.degrees)) * end + generator.normal(0, self.jitter * self.height))
        new = new.moved(0, rise)
        if not glyphs:
            glyphs.append(new)
            return
        least = max(round(self.gap * self.height), 1)
        if is_touching:
            touch = first_touch(glyphs[-1], new)
            overlap = round(generator.uniform(0, 0.07) * self.height)
            left = max([touch - overlap, *(first_touch(each, new, least) + 1 for each in glyphs[-3:-1])])
        else:
            nearest = max(first_touch(each, new, least) for each in glyphs[-3:])
            tucked = end - round(0.2 * self.height)  # how far it may reach under its neighbour
            left = max(nearest + least, tucked) + round(generator.uniform(0, 0.4) * self.height)
        glyphs.append(new.moved(left, 0))


def random_text(digits: LabelledDigits, length: int, generator: np.random.Generator, lowest: int = 0) -> str:
    """So many random digits, of those that the writer has; none lower than `lowest`."""
    classes = np.unique(digits.labels)
    return "".join(str(each) for each in generator.choice(classes[classes >= lowest], length))


def first_touch(before: Glyph, after: Glyph, reach: int = 0) -> int:
    """Leftmost column at which `after` still stands right of the ink of `before` in every row that both have.

    Args:
        before: where it stands.
        after: its rows count, its column does not.
        reach: rows by which ink of `before` also counts above and below itself.
    """
    edges = _right_edges(before, reach)
    starts = np.argmax(after.coverage >= EDGE, axis=1)
    has_ink = (after.coverage >= EDGE).any(axis=1)
    rows = np.arange(after.top, after.bottom) - (before.top - reach)
    both = has_ink & (rows >= 0) & (rows < len(edges))
    rows_before = edges[rows[both]]
    needed = rows_before - starts[both]
    needed = needed[rows_before >= 0]
    if not needed.size:  # no row in common: under or over one another
        return before.left
    return before.left + int(needed.max()) + 1


def is_touching(one: Glyph, other: Glyph) -> bool:
    """Is any ink of one within a pixel of ink of the other, diagonals included?"""
    top, left = min(one.top, other.top) - 1, min(one.left, other.left) - 1
    shape = (max(one.bottom, other.bottom) + 1 - top, max(one.right, other.right) + 1 - left)
    masks = []
    for each in (one, other):
        mask = np.zeros(shape, np.bool_)
        row, column = each.top - top, each.left - left
        mask[row : row + each.coverage.shape[0], column : column + each.coverage.shape[1]] = each.coverage >= EDGE
        masks.append(mask)
    wide = masks[0].copy()
    for axis in (0, 1):
        wide = wide | np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
    return bool((wide & masks[1]).any())


def sheet(glyphs: Sequence[Glyph], height: int, width: int) -> Floats:
    """All of the ink on one sheet, (height, width) float32 in 0..1; all of it must be inside."""
    page = np.zeros((height, width), np.float32)
    for each in glyphs:
        part = page[each.top : each.bottom, each.left : each.right]
        np.maximum(part, each.coverage, out=part)
    return page


def boxes(glyphs: Sequence[Glyph]) -> Boxes:
    """Tight boxes of the ink, (k, 4): x, y, width, height."""
    rows = []
    for each in glyphs:
        strong = each.coverage >= EDGE
        down, across = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
        rows.append((each.left + across[0], each.top + down[0], across[-1] - across[0] + 1, down[-1] - down[0] + 1))
    return np.asarray(rows, np.int64).reshape(-1, 4)


def _right_edges(glyph: Glyph, reach: int) -> npt.NDArray[np.int64]:
    """Last inked column of each row, -1 without ink; the rows start `reach` above the glyph."""
    strong = glyph.coverage >= EDGE
    width = strong.shape[1]
    own = np.where(strong.any(axis=1), width - 1 - np.argmax(strong[:, ::-1], axis=1), -1)
    padded = np.pad(own, 2 * reach, constant_values=-1)
    edges: npt.NDArray[np.int64] = np.max(
        np.stack([padded[shift : shift + len(own) + 2 * reach] for shift in range(2 * reach + 1)]), axis=0
    )
    return edges
