"""Numbers on paper, in forms and on pages: where the ink goes, before any colour."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.whole_numbers.marks import random_marks
from training.data.arrays import Floats, LabelledDigits
from training.synthetic.writing import Glyph, Hand, first_touch, random_text, sheet

REDUCTION = 3  # of pictures in low resolution
_A4 = (1754, 1240)  # rows and columns at 150 dots an inch
_MARGIN = 20  # least empty pixels around what stands on a page


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines on a sheet, before they are coloured; `printed` (height, width) float32 is what stood there before."""

    lines: list[list[Glyph]]
    printed: Floats


# One line on empty paper


def one_line(touching: float) -> Callable[[LabelledDigits, np.random.Generator], Drawing]:
    """A line at any slant; about this share of neighbours touch, half as many to half as many more."""

    def draw(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
        hand = _random_hand(digits, generator, touching=touching * generator.uniform(0.5, 1.5))
        return _framed([hand.line(random_text(digits, _random_length(generator), generator), generator)], generator)

    return draw


def with_marks(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A line with one to three marks that are no digits."""
    hand = _random_hand(digits, generator)
    text = random_text(digits, _random_length(generator), generator)
    return _framed([hand.line(text, generator, random_marks(len(text), hand.height, generator))], generator)


def low_resolution(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A line of digits 10 to 16 pixels high, to be reduced by REDUCTION; here still large."""
    hand = _random_hand(digits, generator, height=REDUCTION * generator.uniform(10, 16), gap=0.16)
    return _framed([hand.line(random_text(digits, _random_length(generator), generator), generator)], generator)


# One line on a form


def boxed(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """Boxes side by side, apart or joined, one digit in each."""
    height = generator.uniform(20, 70)
    cell_width, cell_height = round(height * generator.uniform(1.25, 1.7)), round(height * generator.uniform(1.4, 1.8))
    apart = 0 if generator.random() < 0.6 else round(height * generator.uniform(0.1, 0.4))
    pen = int(generator.integers(1, 3 + round(height / 25)))
    text, margin = (
        random_text(digits, _random_length(generator), generator),
        round(height * generator.uniform(0.3, 0.8)),
    )
    pitch = cell_width + (apart or -pen)
    printed = np.zeros((cell_height + 2 * margin, pitch * len(text) + 2 * margin + cell_width), np.float32)
    cells = [(margin + place * pitch, margin, cell_width, cell_height) for place in range(len(text))]
    for cell in cells:
        _rectangle(printed, *cell, pen)
    hand = _random_hand(digits, generator, height=height, degrees=0)
    line = [_in_cell(hand, digit, cell, pen, generator) for digit, cell in zip(text, cells, strict=True)]
    return Drawing([line], printed[:, : cells[-1][0] + cell_width + margin] * generator.uniform(0.3, 1))


def combed(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A comb: one line below all digits, with teeth between them; at times a frame around."""
    height = generator.uniform(20, 70)
    cell_width, cell_height = round(height * generator.uniform(1.2, 1.6)), round(height * generator.uniform(1.4, 1.7))
    pen = int(generator.integers(1, 2 + round(height / 25)))
    text, margin = (
        random_text(digits, _random_length(generator), generator),
        round(height * generator.uniform(0.3, 0.8)),
    )
    printed = np.zeros((cell_height + 2 * margin, cell_width * len(text) + 2 * margin), np.float32)
    bottom, tooth = margin + cell_height, round(cell_height * generator.uniform(0.2, 0.6))
    printed[bottom - pen : bottom, margin : printed.shape[1] - margin] = 1
    for place in range(len(text) + 1):
        left = margin + place * cell_width - (pen if place == len(text) else 0)
        printed[bottom - tooth : bottom, left : left + pen] = 1
    if generator.random() < 0.4:
        _rectangle(printed, margin, margin, cell_width * len(text), cell_height, pen)
    hand = _random_hand(digits, generator, height=height, degrees=0)
    cells = [(margin + place * cell_width, margin, cell_width, cell_height) for place in range(len(text))]
    line = [_in_cell(hand, digit, cell, pen, generator) for digit, cell in zip(text, cells, strict=True)]
    return Drawing([line], printed * generator.uniform(0.3, 1))


def ruled(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A line written on a ruled one, that it stands on, floats above or crosses a little; at times more rulings."""
    hand = _random_hand(digits, generator, degrees=float(generator.uniform(-1.5, 1.5)))
    drawing = _framed([hand.line(random_text(digits, _random_length(generator), generator), generator)], generator)
    bottom = int(np.median([each.bottom for each in drawing.lines[0]])) + round(generator.normal(0, 0.08) * hand.height)
    pen, pitch = int(generator.integers(1, 2 + round(hand.height / 25))), round(hand.height * generator.uniform(1.5, 2))
    rulings = [bottom] if generator.random() < 0.5 else list(range(bottom % pitch, len(drawing.printed), pitch))
    for top in rulings:
        drawing.printed[max(top, 0) : max(top, 0) + pen] = 1
    return Drawing(drawing.lines, drawing.printed * np.float32(generator.uniform(0.25, 1)))


# Several lines


def lines(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """Three to twelve lines of two to ten digits."""
    hand = _random_hand(digits, generator, height=_random_height(20, 50, generator), degrees=generator.uniform(-3, 3))
    count = int(generator.integers(3, 13))
    return _framed(_stacked(hand, [_random_length(generator) for _ in range(count)], generator), generator)


def a4_page(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A page of 1240x1754, A4 at 150 dots an inch, with about 100 digits."""
    hand = _random_hand(
        digits, generator, height=_random_height(26, 44, generator), degrees=generator.uniform(-1.5, 1.5)
    )
    lengths: list[int] = []
    while sum(lengths) < 96:
        lengths.append(int(generator.integers(5, 11)))
    fitting = (_A4[0] - 6 * _MARGIN) / (len(lengths) * hand.height) - 1.4
    lines = _stacked(hand, lengths, generator, min(fitting, 0.8))
    everything = [glyph for line in lines for glyph in line]
    left, top = min(each.left for each in everything), min(each.top for each in everything)
    free_width = _A4[1] - (max(each.right for each in everything) - left)
    free_height = _A4[0] - (max(each.bottom for each in everything) - top)
    if min(free_width, free_height) < 2 * _MARGIN:
        raise RuntimeError(f"{len(lines)} lines of {hand.height:.0f} pixels leave {free_height} rows: this is a bug")
    right = int(generator.integers(_MARGIN, free_width - _MARGIN + 1)) - left
    down = int(generator.integers(_MARGIN, free_height - _MARGIN + 1)) - top
    return Drawing([_moved(line, right, down) for line in lines], np.zeros(_A4, np.float32))


def sudoku(digits: LabelledDigits, generator: np.random.Generator) -> Drawing:
    """A grid of 9x9 with a digit in some cells; each row that has any is a line."""
    height = generator.uniform(20, 40)
    cell, thin = round(height * generator.uniform(1.4, 1.8)), int(generator.integers(1, 3))
    thick, margin = thin + int(generator.integers(1, 4)), round(generator.uniform(0.5, 1) * height)
    side = 9 * cell + thick
    printed = np.zeros((side + 2 * margin,) * 2, np.float32)
    for place in range(10):
        pen = thin if place % 3 else thick
        start = margin + place * cell
        printed[start : start + pen, margin : margin + side] = 1
        printed[margin : margin + side, start : start + pen] = 1
    hand = _random_hand(digits, generator, height=height, degrees=0)
    filled = generator.random((9, 9)) < generator.uniform(0.3, 0.7)
    lines = []
    for row in np.flatnonzero(filled.any(axis=1)).tolist():
        columns = np.flatnonzero(filled[row]).tolist()
        text = random_text(digits, len(columns), generator, lowest=1)
        lines.append(
            [
                _in_cell(hand, digit, (margin + column * cell, margin + row * cell, cell, cell), thick, generator)
                for digit, column in zip(text, columns, strict=True)
            ]
        )
    return Drawing(lines, printed * np.float32(generator.uniform(0.3, 1)))


# Parts of drawings


def _random_hand(
    digits: LabelledDigits,
    generator: np.random.Generator,
    height: float | None = None,
    degrees: float | None = None,
    touching: float = 0,
    gap: float = 0.12,
) -> Hand:
    drawn_height = _random_height(20, 90, generator) if height is None else height
    return Hand(
        digits,
        drawn_height,
        degrees=float(generator.uniform(-8, 8)) if degrees is None else degrees,
        shear=float(generator.uniform(-0.15, 0.15)),
        pen=float(generator.uniform(1.1, 1.8)),  # at 1 and below, MNIST's faint strokes break
        touching=touching,
        gap=max(gap, 3.5 / drawn_height),  # 3.5 pixels stay apart when a picture is blurred
    )


def _random_height(least: float, most: float, generator: np.random.Generator) -> float:
    """As many small ones as large ones, by ratio."""
    return float(np.exp(generator.uniform(np.log(least), np.log(most))))


def _random_length(generator: np.random.Generator) -> int:
    return int(generator.integers(2, 11))


def _moved(line: list[Glyph], right: int, down: int) -> list[Glyph]:
    return [glyph.moved(right, down) for glyph in line]


def _framed(lines: list[list[Glyph]], generator: np.random.Generator) -> Drawing:
    """Lines on a sheet that holds them with a margin of 0.3 to 1.2 times a digit's height on each side."""
    glyphs = [glyph for line in lines for glyph in line]
    height = float(np.median([len(each.coverage) for each in glyphs]))
    above, below, before, behind = (max(round(height * generator.uniform(0.3, 1.2)), 4) for _ in range(4))
    left, top = min(each.left for each in glyphs) - before, min(each.top for each in glyphs) - above
    size = (max(each.bottom for each in glyphs) + below - top, max(each.right for each in glyphs) + behind - left)
    return Drawing([_moved(line, -left, -top) for line in lines], np.zeros(size, np.float32))


def _stacked(
    hand: Hand, lengths: list[int], generator: np.random.Generator, most_spacing: float = 0.8
) -> list[list[Glyph]]:
    """Lines under one another, each indented by up to two digits and clear of the one above."""
    lines: list[list[Glyph]] = []
    spacing = generator.uniform(0.35, most_spacing)
    for length in lengths:
        line = hand.line(random_text(hand.digits, length, generator), generator)
        line = _moved(line, round(generator.uniform(0, 2) * hand.height), 0)
        if lines:
            space = round(hand.height * (spacing + generator.uniform(0, 0.25)))
            line = _moved(line, 0, _first_row_below(lines[-2:], line) + space)
        lines.append(line)
    return lines


def _first_row_below(lines: list[list[Glyph]], line: list[Glyph]) -> int:
    """How far down a line must move until all of it is under the ink of `lines`."""
    new = _turned(line)
    start = new.left
    return max(first_touch(_turned(each), new, reach=round(0.5 * len(line[0].coverage))) - start for each in lines)


def _turned(line: list[Glyph]) -> Glyph:
    """A line as one piece of ink, rows and columns exchanged."""
    left, top = min(each.left for each in line), min(each.top for each in line)
    height, width = max(each.bottom for each in line) - top, max(each.right for each in line) - left
    return Glyph("", sheet(_moved(line, -left, -top), height, width).T, top, left)


def _in_cell(
    hand: Hand, digit: str, cell: tuple[int, int, int, int], pen: int, generator: np.random.Generator
) -> Glyph:
    """A digit around the middle of a cell (x, y, width, height), clear of its lines."""
    glyph = hand.digit(digit, generator)
    height, width = glyph.coverage.shape
    x, y, cell_width, cell_height = cell
    free = (cell_width - width - 2 * pen, cell_height - height - 2 * pen)
    right, down = (
        round(
            float(
                np.clip(room / 2 + generator.normal(0, 0.15) * max(room, 0), min(2, room / 2), max(room - 2, room / 2))
            )
        )
        for room in free
    )
    return glyph.moved(x + pen + right, y + pen + down + height)


def _rectangle(printed: Floats, x: int, y: int, width: int, height: int, pen: int) -> None:
    part = printed[y : y + height, x : x + width]
    part[:pen] = part[-pen:] = 1
    part[:, :pen] = part[:, -pen:] = 1
