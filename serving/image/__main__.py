"""Preprocesses stacks of grey pictures as the server does: `python -m serving.image IN.npz OUT.npz`.

For programs that need the server's preprocessing without importing it, as training does. Its image holds serving/image
and serving/__init__.py alone, so this module and what it imports need nothing else of serving.

1. IN.npz holds any number of arrays, each a stack of pictures: (n, h, w) uint8, of any size and polarity.
2. OUT.npz holds for each of them, under its NAME, the framed pixels, (n, 784) uint8, 0 = paper, 255 = ink, and under
   NAME_flags a bit mask of serving.image.picture.Quality for each picture, (n,) uint16.
3. Other input ends it with one line on standard error and exit status 2.
"""

import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.image.framing import frame

USAGE = "usage: python -m serving.image IN.npz OUT.npz"
FLAGS_SUFFIX = "_flags"


class _InputError(Exception):
    """Input that cannot be used. The message is one line."""


def main(arguments: list[str]) -> int:
    """Runs the command. Returns its exit status: 0, or 2 when the input cannot be used."""
    try:
        if len(arguments) != 2:
            raise _InputError(USAGE)
        source, target = map(Path, arguments)
        framed: dict[str, npt.NDArray[np.uint8 | np.uint16]] = {}
        for name, stack in _stacks(source).items():
            framed[name], framed[name + FLAGS_SUFFIX] = _frame_all(stack)
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
        if name.endswith(FLAGS_SUFFIX) and name.removesuffix(FLAGS_SUFFIX) in stacks:
            raise _InputError(f"array {name!r} of {source}: the name is needed for the flags of another array")
    return stacks


def _frame_all(stack: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Returns the framed pixels, (n, 784), and the bit masks of Quality, (n,), of a stack (n, h, w)."""
    pixels = np.zeros((len(stack), 784), np.uint8)
    flags = np.zeros(len(stack), np.uint16)
    for index, picture in enumerate(stack):
        framed = frame(picture)
        pixels[index] = framed.pixels
        flags[index] = framed.quality
    return pixels, flags


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
