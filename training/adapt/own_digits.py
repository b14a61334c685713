"""Own digits: labelled pictures as the model sees them, with who wrote them. What is no use is left out, by name."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.adapt.sources import LabelledFile, StoredPictures, read_source
from training.data.arrays import NOT_A_DIGIT, LabelledDigits, Labels, Pixels
from training.data.preprocessing import FramedFiles, preprocess_files
from training.errors import DataError

FEWEST_DIGITS = 10
MOST_NAMED = 20  # of the pictures that are left out
_BLANK, _SEVERAL_GLYPHS = 1, 2  # bits of serving.image.picture.Quality, for which the server refuses a picture
By = Literal["auto", "writer", "picture"]


@dataclass(frozen=True, slots=True)
class OwnDigits:
    """Pictures of a user.

    Attributes:
        digits: pixels (n, 784) uint8 and labels (n,) int64 in 0..9, or NOT_A_DIGIT.
        groups: (n,) int64, counted from 0: pictures of one group are by one person, and are held out together.
        by: what a group is: writer, request or picture.
    """

    digits: LabelledDigits
    groups: npt.NDArray[np.int64]
    by: str

    def __len__(self) -> int:
        return len(self.digits)

    @property
    def is_digit(self) -> npt.NDArray[np.bool_]:
        """(n,): False where the picture shows no digit."""
        is_digit: npt.NDArray[np.bool_] = self.digits.labels != NOT_A_DIGIT
        return is_digit

    @property
    def count_of_groups(self) -> int:
        """People, requests or pictures."""
        return len(np.unique(self.groups))

    @property
    def sha256(self) -> str:
        """Of pixels and labels, in their order."""
        return hashlib.sha256(self.digits.pixels.tobytes() + self.digits.labels.tobytes()).hexdigest()


def read_own_digits(
    source: Path,
    by: By,
    say: Callable[[str], None],
    preprocess: Callable[[Sequence[Path]], FramedFiles] = preprocess_files,
) -> OwnDigits:
    """The pictures of a folder, a CSV file, a store or an export of one, framed as the server frames them.

    Args:
        source: as `read_source` takes it.
        by: what is held out together: all pictures of a writer, or each alone; auto: writers where all are named.
        say: gets a line for each picture that is left out.
        preprocess: the service's preprocessing.

    Raises:
        DataError: the source is no use, or too little is left of it.
    """
    read = read_source(source)
    if isinstance(read, StoredPictures):
        named = "picture" if by == "picture" else "request"
        if by == "writer":
            raise DataError(f"{source} names no writers: leave --by away, and pictures of a request stay together")
        names = [f"picture {number}" for number in range(len(read.labels))]
        is_kept, pixels, labels, writers = read.pixels.any(axis=1), read.pixels, read.labels, read.requests
        _say_left_out(say, [f"{names[row]}: blank" for row in np.flatnonzero(~is_kept)])
    else:
        named = _by(read, by, source)
        say(f"framing {len(read):,} pictures ...")
        framed = preprocess([each.path for each in read])
        names, pixels = [str(each.path) for each in read], framed.pixels
        labels, writers = np.array([each.label for each in read], np.int64), tuple(each.writer for each in read)
        problems = [_problem(*each) for each in zip(framed.errors, framed.flags.tolist(), strict=True)]
        _say_left_out(say, [f"{name}: {each}" for name, each in zip(names, problems, strict=True) if each])
        is_kept = np.array([each == "" for each in problems])
    rows = np.flatnonzero(is_kept)
    rows = _distinct(pixels, labels, rows, names, say)
    digits = int(np.sum(labels[rows] != NOT_A_DIGIT))
    if digits < FEWEST_DIGITS:
        raise DataError(f"{source} has {digits} digits that can be used; at least {FEWEST_DIGITS} are needed")
    _, groups = np.unique([writers[row] for row in rows], return_inverse=True)
    if named == "picture":
        groups = np.arange(len(rows))
    elif groups.max() == 0:
        raise DataError(
            f"{source} has one {named} alone, which cannot be held out: --by picture holds out single pictures"
        )
    return OwnDigits(LabelledDigits(pixels[rows], labels[rows]), groups.astype(np.int64), named)


def _by(files: Sequence[LabelledFile], by: By, source: Path) -> str:
    without = sum(not each.writer for each in files)
    if by == "picture" or (by == "auto" and without == len(files)):
        return "picture"
    if without:
        raise DataError(f"{source}: {without} of {len(files)} pictures name no writer. Name all, or use --by picture")
    return "writer"


def _problem(error: str, flags: int) -> str:
    """Why a picture is no use, whatever its label; empty: it is of use."""
    if error:
        return error
    if flags & _BLANK:
        return "blank: no ink stands out from the paper"
    if flags & _SEVERAL_GLYPHS:
        return "several glyphs side by side, which the server refuses before the model sees them"
    return ""


def _distinct(
    pixels: Pixels, labels: Labels, rows: npt.NDArray[np.int64], names: Sequence[str], say: Callable[[str], None]
) -> npt.NDArray[np.int64]:
    """The rows without pictures that are there twice: one of them would be held out, and the other learned."""
    seen: dict[bytes, list[int]] = {}
    for row in rows.tolist():
        seen.setdefault(pixels[row].tobytes(), []).append(row)
    contradictions = [same for same in seen.values() if len({int(labels[row]) for row in same}) > 1]
    _say_left_out(
        say, [f"{names[row]}: the same picture has another label, too" for same in contradictions for row in same]
    )
    kept = [same[0] for same in seen.values() if len({int(labels[row]) for row in same}) == 1]
    again = len(rows) - len(kept) - sum(map(len, contradictions))
    if again:
        say(f"left out: {again:,} pictures that are there more than once")
    return np.array(kept, np.int64)


def _say_left_out(say: Callable[[str], None], lines: Sequence[str]) -> None:
    for line in lines[:MOST_NAMED]:
        say("left out: " + (line if line.isprintable() else ascii(line)))
    if len(lines) > MOST_NAMED:
        say(f"left out: {len(lines) - MOST_NAMED:,} more")
