"""Preprocesses stacks of grey pictures as the server does: `python -m serving.image [--candidates] IN.npz OUT.npz`.

For programs that need the server's preprocessing without importing it, as training does. Its image holds serving/image,
serving/__init__.py, serving/errors.py and serving/readings.py, so this module and what it imports need nothing else of
serving.

1. IN.npz holds any number of arrays, each a stack of pictures: (n, h, w) uint8, of any size and polarity.
2. OUT.npz holds for each of them, under its NAME, the framed pixels, (n, 784) uint8, 0 = paper, 255 = ink, and under
   NAME_flags a bit mask of serving.image.picture.Quality for each picture, (n,) uint16.
3. With --candidates it holds what may be digits in pictures of numbers, m of a stack: under NAME the framed pixels,
   (m, 784) uint8; under NAME_boxes x, y, width and height in the picture, (m, 4) int32; under NAME_pictures the place
   of that picture in the stack, (m,) int64.
4. Other input ends it with one line on standard error and exit status 2.
"""

import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.image.framing import frame
from serving.image.segmentation.segmentation import segment_grey

USAGE = "usage: python -m serving.image [--candidates] IN.npz OUT.npz"
CANDIDATES_FLAG = "--candidates"
FLAGS_SUFFIX, BOXES_SUFFIX, PICTURES_SUFFIX = "_flags", "_boxes", "_pictures"


class _InputError(Exception):
    """Input that cannot be used. The message is one line."""


def main(arguments: list[str]) -> int:
    """Runs the command. Returns its exit status: 0, or 2 when the input cannot be used."""
    try:
        paths = [each for each in arguments if each != CANDIDATES_FLAG]
        if len(paths) != 2:
            raise _InputError(USAGE)
        source, target = map(Path, paths)
        preprocess = _candidates_of if CANDIDATES_FLAG in arguments else _frame_all
        framed: dict[str, npt.NDArray[np.generic]] = {}
        for name, stack in _stacks(source).items():
            framed |= {name + suffix: array for suffix, array in preprocess(stack).items()}
        with target.open("wb") as file:  # a path would be given the ending .npz if it had none
            np.savez(file, **framed)  # type: ignore[arg-type]  # numpy's stub takes a name for `allow_pickle`
    except (_InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _stacks(source: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Reads the stacks of pictures, by name. Raises _InputError, or OSError."""
    try:
        with np.load(source) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _InputError(f"{source} is no .npz archive")
            stacks = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:  # raised for damaged files
        raise _InputError(f"{source} is no readable .npz archive: {' '.join(str(error).split())}") from error
    for name, stack in stacks.items():
        if stack.dtype != np.uint8 or stack.ndim != 3 or 0 in stack.shape[1:]:
            raise _InputError(
                f"array {name!r} of {source}: expected (n, h, w) uint8 pictures, got {stack.shape} {stack.dtype}"
            )
        for suffix in (FLAGS_SUFFIX, BOXES_SUFFIX, PICTURES_SUFFIX):
            if name.endswith(suffix) and name.removesuffix(suffix) in stacks:
                raise _InputError(
                    f"array {name!r} of {source}: the name is needed for the {suffix[1:]} of another array"
                )
    return stacks


def _candidates_of(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the candidates in a stack (n, h, w) of pictures of numbers, by the suffix of their name."""
    found = [segment_grey(picture) for picture in stack]
    return {
        "": np.concatenate([np.zeros((0, 784), np.uint8), *(each.pixels for each in found)]),
        BOXES_SUFFIX: np.concatenate([np.zeros((0, 4), np.int32), *(each.boxes for each in found)]),
        PICTURES_SUFFIX: np.repeat(np.arange(len(stack), dtype=np.int64), [len(each.boxes) for each in found]),
    }


def _frame_all(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the framed pixels and flags of a stack (n, h, w), by the suffix of their name."""
    pixels = np.zeros((len(stack), 784), np.uint8)
    flags = np.zeros(len(stack), np.uint16)
    for index, picture in enumerate(stack):
        framed = frame(picture)
        pixels[index] = framed.pixels
        flags[index] = framed.quality
    return {"": pixels, FLAGS_SUFFIX: flags}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
