"""Strips of pieces of ink with the digits in them: drawn, made by the server's own code, kept in the run's folder."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from training.columns.pictures import MOST_DIGITS, Piece, Sources, pieces
from training.data.arrays import Arrays, Doubles, Floats
from training.data.preprocessing import MakeStrips
from training.errors import RunError
from training.files import write_atomically

HEIGHT, WIDEST = 32, 128  # pixels; wider strips are left out
FRAME = 4  # columns of a strip for which the network answers once
BLANK = 10  # what it answers for columns at which no digit stands
NO_DIGIT = -1  # label behind the last digit
_AT_A_TIME = 5000  # strips that are drawn, and kept in a file, together


@dataclass(frozen=True, slots=True)
class StripSet:
    """Strips and what they show, the digits of each from left to right.

    Attributes:
        pixels: (n, 32, 128) uint8, 0 = paper, empty behind the strip.
        lengths: (n,) int64, pixels of the strip's width.
        labels: (n, 5) int64, 0..9, NO_DIGIT behind the last one.
        centres: (n, 5) float32, the middle of each digit's ink in columns of the strip.
        widths: (n, 5) float32, of each digit's ink, in columns.
    """

    pixels: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    centres: Floats
    widths: Floats

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """The strips of these rows, in this order."""
        return type(self)(**{name: array[rows] for name, array in self._arrays().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The strips of all parts, one part or more."""
        arrays = [part._arrays() for part in parts]
        return cls(**{name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]})

    def save(self, path: Path) -> None:
        """Write them to a file in one step."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **self._arrays())
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RunError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**file)
        except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} is damaged ({error}). Delete it, and it is drawn again") from error

    def _arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


def draw_strips(sources: Sources, count: int, seed: Sequence[int], make_strips: MakeStrips) -> StripSet:
    """So many strips of pieces; equal seeds draw equal ones."""
    drawn = pieces(sources, np.random.default_rng(list(seed)))
    parts: list[StripSet] = []
    while missing := count - sum(map(len, parts)):
        parts.append(_strips([next(drawn) for _ in range(missing)], make_strips))
    return StripSet.joined(parts)


def kept_strips(
    folder: Path,
    sources: Sources,
    count: int,
    seed: Sequence[int],
    make_strips: MakeStrips,
    drawn: Callable[[int], None],
) -> StripSet:
    """`draw_strips` in parts of some thousands, each kept in a file of the folder and read from it where it is.

    Each part has a seed of its own, so that parts that are there need not be drawn to draw the next one. `drawn` is
    called with the number of strips that there are after each part.
    """
    parts = []
    for number, start in enumerate(range(0, count, _AT_A_TIME)):
        path = folder / f"{number:03}.npz"
        if not path.exists():
            few = min(_AT_A_TIME, count - start)
            draw_strips(sources, few, [*seed, number], make_strips).save(path)
            drawn(start + few)
        parts.append(StripSet.load(path))
    return StripSet.joined(parts)


def _strips(found: Sequence[Piece], make_strips: MakeStrips) -> StripSet:
    """Strips of pieces, without those that are too wide."""
    strips = make_strips([each.ink for each in found])
    kept = np.flatnonzero(strips.widths <= WIDEST)
    pixels = np.zeros((len(kept), HEIGHT, WIDEST), np.uint8)
    most = min(WIDEST, strips.pixels.shape[2])
    pixels[:, :, :most] = strips.pixels[kept, :, :most]
    labels = np.full((len(kept), MOST_DIGITS), NO_DIGIT, np.int64)
    centres, widths = np.zeros((2, len(kept), MOST_DIGITS), np.float32)
    for row, piece in enumerate(kept.tolist()):
        for place, (left, right) in enumerate(_spans(found[piece], strips.columns[piece])):
            labels[row, place] = found[piece].digits[place]
            centres[row, place], widths[row, place] = (left + right) / 2, right - left
    return StripSet(pixels, strips.widths[kept], labels, centres, widths)


def _spans(piece: Piece, columns: Doubles) -> Iterator[tuple[float, float]]:
    """Columns of the strip between which each digit's ink lies."""
    across, down, start = columns
    for each in piece.extents:
        shift = down * (each.rows + 0.5) + start
        yield float((across * each.firsts + shift).min()), float((across * (each.lasts + 1) + shift).max())
