"""Pictures of lines of digits: cut, read as candidates, and put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from experiments.whole_numbers.pictures import make
from serving.core.line_decoding import decoded_lines, judged
from serving.image.segmentation.atoms import Atoms, find_atoms
from serving.image.segmentation.pieces import Pieces, find_pieces, ink_of
from serving.image.segmentation.segmentation import MOST_ATOMS, Segmentation, segment_grey
from serving.models.column_network import ColumnNetwork
from serving.predictions import Predictions
from serving.readings import Box, Layout, Line
from tests.gallery.panels import FONT, GREEN, PALE, RED, TEXT, Grey, Panel, coloured, enlarged, panel, stacked
from tests.support.shipped_model import shipped_model
from tests.support.whole_numbers import committed_handwriting
from training.synthetic.writing import Hand, sheet

WRITTEN, LINE_SEED, DIGIT_HEIGHT = "47302", 4, 56
COMB_SEED = 13
PAPER, INK = 245, 40  # grey levels
TINY, PALE_PEN = 6, 0.2  # pixels of height; contrast of a pale pen, of a dark one's
THUMB, COLUMN, ROW = 56, 74, 82  # pixels of a candidate, and of its place in the picture of all


@dataclass(frozen=True, slots=True)
class Read:
    """A picture and everything that is found in it."""

    grey: Grey
    pieces: Pieces
    atoms: Atoms
    segmentation: Segmentation
    predictions: Predictions
    lines: tuple[Line, ...]


def line_cuts() -> Image.Image:
    """A line of touching digits on a ruled line: its ink, the ruled line removed, the cuts."""
    read = _touching_line()
    scale = 1.6
    atoms = coloured(read.pieces.ink, read.atoms.labels)
    return stacked(
        [panel("as sent", read.grey, scale)],
        [panel("ink", ink_of(read.grey), scale)],
        [panel("without the ruled line", read.pieces.ink, scale)],
        [Panel("atoms: what lies between two cuts", _resized(atoms, scale))],
    )


def line_columns() -> Image.Image:
    """The strips of that line, and for each frame what the column network sees: the darker, the more probable."""
    pieces = _touching_line().pieces
    strips: list[Grey] = []
    network = ColumnNetwork()

    def kept(seen: Sequence[Grey]) -> list[npt.NDArray[np.float32]]:
        strips.extend(seen)
        return network(seen)

    find_atoms(pieces, kept, is_one_line=True)
    shown = [(strip, frames) for strip, frames in zip(strips, network(strips), strict=True) if strip.any()]
    return stacked([_frames(strip, frames) for strip, frames in shown])


def line_candidates() -> Image.Image:
    """All candidates of that line, above the atoms that they cover, and the best path through them."""
    read = _touching_line()
    spans = read.segmentation.spans[:, 1:]
    lengths = spans[:, 1] - spans[:, 0]
    spans, lengths = spans[lengths <= MOST_ATOMS], lengths[lengths <= MOST_ATOMS]  # the picture as a whole is the last
    chosen = {tuple(map(int, glyph.box)) for line in read.lines for glyph in line.glyphs}
    page = Image.new("RGB", (int(spans.max()) * COLUMN + 20, int(lengths.max()) * ROW + 12), "white")
    draw = ImageDraw.Draw(page)
    for row, ((first, last), length) in enumerate(zip(spans.tolist(), lengths.tolist(), strict=True)):
        left = 10 + (first + last) * COLUMN // 2 - THUMB // 2
        top = 8 + (int(lengths.max()) - length) * ROW
        is_chosen = tuple(read.segmentation.boxes[row].tolist()) in chosen
        colour = GREEN if is_chosen else PALE
        pixels = Image.fromarray(read.segmentation.pixels[row].reshape(28, 28)).convert("RGB")
        page.paste(pixels.resize((THUMB, THUMB), Image.Resampling.NEAREST), (left, top))
        draw.rectangle(
            (left - 2, top - 2, left + THUMB + 1, top + THUMB + 1), outline=colour, width=3 if is_chosen else 1
        )
        draw.text((left, top + THUMB + 3), _said(read, row), colour if is_chosen else (90, 90, 90), FONT)
    return page


def line_boxes() -> Image.Image:
    """The digits of that line where they stand."""
    return stacked([_answered(_touching_line(), 1.6)])


def comb() -> Image.Image:
    """A comb of a form, in which each digit stands between two teeth."""
    read = _read(make("comb", COMB_SEED, "validation", committed_handwriting()).grey)
    scale = 0.9
    return stacked(
        [panel("as sent", read.grey, scale), panel("ink", ink_of(read.grey), scale)],
        [panel("without the comb", read.pieces.ink, scale), _answered(read, scale)],
    )


def not_read() -> Image.Image:
    """Pictures that are not read, or read wrong, each with what is read."""
    plain = _written(touching=0)
    third = _read(plain).lines[0].glyphs[2].box
    tiny = cv2.resize(plain, None, fx=TINY / DIGIT_HEIGHT, fy=TINY / DIGIT_HEIGHT, interpolation=cv2.INTER_AREA)
    return stacked(
        [
            _heard(f"digits of {TINY} pixels", tiny, 9),
            _heard("thick, touching", 255 - cv2.dilate(255 - _written(1), np.ones((9, 9), np.uint8)), 1),
        ],
        [_heard("crossed out", _crossed(plain, third), 1), _heard("two pens", _pale_before(plain, third[0] - 3), 1)],
    )


def _heard(caption: str, grey: Grey, scale: float) -> Panel:
    """The picture, and the lines that are read in it."""
    said = (f"{line.text or 'nothing'}{', refused' if line.refused else ''}" for line in _read(grey).lines)
    return panel(f"{caption}; read: {'; '.join(said) or 'nothing'}", grey, scale)


def _crossed(grey: Grey, box: Box) -> Grey:
    """Two strokes through one of the digits."""
    left, top, right, bottom = box[0] - 4, box[1] + 5, box[0] + box[2] + 4, box[1] + box[3] - 5
    crossed = grey.copy()
    cv2.line(crossed, (left, bottom), (right, top), INK, 5, cv2.LINE_AA)
    cv2.line(crossed, (left, top), (right, bottom), INK, 5, cv2.LINE_AA)
    return crossed


def _pale_before(grey: Grey, column: int) -> Grey:
    """What stands before this column is written with a pale pen."""
    pale = grey.copy()
    pale[:, :column] = np.rint(PAPER - PALE_PEN * (PAPER - grey[:, :column].astype(np.float32)))
    return pale


def _frames(strip: Grey, frames: npt.NDArray[np.float32]) -> Panel:
    """A strip above its frames: a row for each digit, and the last one for none."""
    scale, cell = 5, 14
    levels = np.rint(255 * (1 - frames.T)).astype(np.uint8)
    table = Image.fromarray(levels).resize((strip.shape[1] * scale, cell * len(levels)), Image.Resampling.NEAREST)
    picture = Image.new("RGB", (table.width + 2 * cell, strip.shape[0] * scale + table.height), "white")
    picture.paste(enlarged(Image.fromarray(255 - strip), scale), (2 * cell, 0))
    picture.paste(table, (2 * cell, strip.shape[0] * scale))
    draw = ImageDraw.Draw(picture)
    for row, name in enumerate("0123456789-"):
        draw.text((cell // 2, strip.shape[0] * scale + row * cell), name, TEXT, FONT)
    for frame in range(1, len(frames)):
        left = 2 * cell + frame * scale * strip.shape[1] // len(frames)
        draw.line((left, strip.shape[0] * scale, left, picture.height), PALE)
    return Panel("a strip, its frames", picture)


def _said(read: Read, row: int) -> str:
    both = judged(read.segmentation, read.predictions)
    return f"{both.digits[row]}: {both.probabilities[row].max():.2f}" if both.may_be_digit[row] else "no digit"


def _answered(read: Read, scale: float) -> Panel:
    """The picture with the boxes and digits of its lines."""
    picture = _resized(Image.fromarray(read.grey).convert("RGB"), scale)
    draw = ImageDraw.Draw(picture)
    for line in read.lines:
        for glyph in line.glyphs:
            left, top, width, height = (scale * value for value in glyph.box)
            colour = RED if glyph.refused else GREEN
            draw.rectangle((left - 2, top - 2, left + width + 1, top + height + 1), outline=colour, width=2)
            said = "?" if glyph.refused else f"{glyph.digit}: {glyph.probabilities.max():.2f}"
            draw.text((left, max(top - 17, 0)), said, colour, FONT)
    texts = "; ".join(f"{line.text}, p = {line.probability:.2f}" for line in read.lines)
    return Panel(f"read: {texts}", picture)


def _resized(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.NEAREST)


@cache
def _touching_line() -> Read:
    """Digits of which some touch, on a ruled line."""
    grey = _written(touching=0.7)
    ruled = len(grey) - DIGIT_HEIGHT // 2 - 4
    grey[ruled : ruled + 2] = np.minimum(grey[ruled : ruled + 2], 122)
    return _read(grey)


def _written(touching: float) -> Grey:
    """WRITTEN, of which this share of neighbours touch."""
    rng = np.random.default_rng(LINE_SEED)
    digits = committed_handwriting().random_writer("validation", rng)
    glyphs = Hand(digits, DIGIT_HEIGHT, degrees=2, pen=1.4, touching=touching).line(WRITTEN, rng)
    margin = DIGIT_HEIGHT // 2
    top = min(each.top for each in glyphs)
    bottom, right = max(each.bottom for each in glyphs), max(each.right for each in glyphs)
    ink = sheet([each.moved(margin, margin - top) for each in glyphs], bottom - top + 2 * margin, right + 2 * margin)
    return np.rint(PAPER - (PAPER - INK) * ink).astype(np.uint8)


def _read(grey: Grey) -> Read:
    pieces = find_pieces(grey)
    segmentation = segment_grey(grey, ColumnNetwork(), Layout.LINE)
    batch = shipped_model().run(segmentation.pixels)
    predictions = Predictions(batch, 0, len(batch))
    atoms = find_atoms(pieces, ColumnNetwork(), is_one_line=True)
    return Read(grey, pieces, atoms, segmentation, predictions, decoded_lines(segmentation, predictions))
