"""The synthesised pictures of one part: made once, kept in the cache, checked whenever they are read."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.arrays import NOT_A_DIGIT, PIXELS, LabelledDigits, Labels, Pixels
from training.data.preprocessing import Preprocess, Segment, preprocess_pictures, segment_pictures
from training.errors import DataError
from training.files import write_atomically
from training.synthetic.font_families import Part
from training.synthetic.fonts import load_faces
from training.synthetic.recipe import (
    CUT_OUT,
    PRINTED_DIGIT,
    RECIPE,
    SEVERAL_TOUCHING,
    draw_kind,
    draw_printed_digits,
    draw_touching,
    kinds,
)


@dataclass(frozen=True, slots=True)
class SyntheticSet:
    """Pictures: pixels (n, 784) uint8, 0 = paper; labels (n,) int64, 0..9 or -1 for no digit; kinds (n,) str."""

    pixels: Pixels
    labels: Labels
    kinds: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.pixels.shape != (count, PIXELS) or self.kinds.shape != (count,):
            raise ValueError(f"{count} labels do not go with {self.pixels.shape} pixels and {self.kinds.shape} kinds")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def non_digits(self) -> Pixels:
        """The pictures that show no digit."""
        chosen: Pixels = self.pixels[self.labels == NOT_A_DIGIT]
        return chosen

    @property
    def digits(self) -> LabelledDigits:
        """The pictures that do."""
        chosen = self.labels != NOT_A_DIGIT
        return LabelledDigits(self.pixels[chosen], self.labels[chosen])


def load_synthetic(
    cache_folder: Path,
    part: Part,
    digits: LabelledDigits,
    say: Callable[[str], None] = lambda _: None,
    preprocess: Preprocess = preprocess_pictures,
    segment: Segment = segment_pictures,
) -> SyntheticSet:
    """The pictures of `part`; the same for the same digits on every call.

    Args:
        cache_folder: holds them, in `synthetic/`, under a name of recipe, part and digits.
        part: train, validation or test: each has fonts and seeds of its own.
        digits: what collages, cut, shuffled and touching digits are made of: rows of the same part of MNIST.
        say: gets one line for each kind while they are made.
        preprocess: brings pictures into MNIST's frame; the service's preprocessing.
        segment: cuts digits out of pictures of numbers; the service's segmentation.

    Raises:
        DataError: the fonts or the preprocessing cannot be had, or the cached file is damaged or cannot be written.
    """
    digest = hashlib.sha256(digits.pixels.tobytes() + digits.labels.tobytes()).hexdigest()[:12]
    stored = cache_folder / "synthetic" / f"recipe-{RECIPE}-{part}-{digest}.npz"
    if stored.exists():
        return read_synthetic(stored)
    made = _make(cache_folder, part, digits, say, preprocess, segment)
    write_synthetic(stored, made)
    say(f"stored {len(made):,} synthesised pictures in {stored}")
    return made


def _make(
    cache_folder: Path,
    part: Part,
    digits: LabelledDigits,
    say: Callable[[str], None],
    preprocess: Preprocess,
    segment: Segment,
) -> SyntheticSet:
    faces = load_faces(cache_folder, part, say)
    pixels, labels, names = [], [], []
    for kind in kinds(faces, digits):
        drawn = draw_kind(kind, part, preprocess)
        say(f"  {part}: {len(drawn):,} of kind {kind.name}")
        pixels.append(drawn)
        labels.append(np.full(len(drawn), NOT_A_DIGIT, np.int64))
        names.append(np.full(len(drawn), kind.name))
    printed = draw_printed_digits(faces, part, preprocess)
    say(f"  {part}: {len(printed):,} of kind {PRINTED_DIGIT}")
    touching = draw_touching(digits, part, preprocess, segment)
    names_of_touching = np.where(touching.labels == NOT_A_DIGIT, SEVERAL_TOUCHING, CUT_OUT)
    for name, count in zip(*np.unique(names_of_touching, return_counts=True), strict=True):
        say(f"  {part}: {count:,} of kind {name}")
    return SyntheticSet(
        np.concatenate([*pixels, printed.pixels, touching.pixels]),
        np.concatenate([*labels, printed.labels, touching.labels]),
        np.concatenate([*names, np.full(len(printed), PRINTED_DIGIT), names_of_touching]),
    )


def write_synthetic(path: Path, made: SyntheticSet) -> None:
    """Keep a set in one file, in one step; raises DataError when it cannot be stored."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, pixels=made.pixels, labels=made.labels, kinds=made.kinds, checksum=_checksum(made)
    )
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise DataError(f"synthesised pictures cannot be stored in {path}: {error.strerror}") from error


def read_synthetic(path: Path) -> SyntheticSet:
    """The set in that file; raises DataError when anything in it has changed."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:  # of a damaged path it would leave the file open
            stored = SyntheticSet(file["pixels"], file["labels"], file["kinds"])
            if str(file["checksum"]) != str(_checksum(stored)):
                raise ValueError("its checksum differs")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"the cached file {path} is damaged ({error}). Delete it: it is made again.") from error
    return stored


def _checksum(pictures: SyntheticSet) -> npt.NDArray[np.str_]:
    content = pictures.pixels.tobytes() + pictures.labels.tobytes() + "\n".join(pictures.kinds).encode()
    return np.array(hashlib.sha256(content).hexdigest())
