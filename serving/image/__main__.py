"""`python -m serving.image IN.npz OUT.npz`: frames stacks of grey pictures as the server would.

For programs that want the server's own framing without importing it, such as the training side.

1. IN.npz holds any number of arrays, each a stack of pictures: (n, h, w) uint8, of any size and polarity.
2. OUT.npz holds for each of them, under its NAME, the framed pixels, (n, 784) uint8, 0 = paper, 255 = ink, and under
   NAME_flags a bit mask of serving.image.quality.Quality for each picture, (n,) uint16.
3. Anything else is one line on stderr and exit status 2.
"""

import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.framing import frame
from serving.image.reduction import reduced

USAGE = "usage: python -m serving.image IN.npz OUT.npz"
FLAGS_SUFFIX = "_flags"


class _InputError(Exception):
    """What is wrong with the input, in one line."""


def main(arguments: list[str]) -> int:
    """The exit status: 0, or 2 when the input cannot be used."""
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
    try:
        with np.load(source) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _InputError(f"{source} is no .npz archive")
            stacks = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:  # what damage raises
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
    pixels = np.zeros((len(stack), 784), np.uint8)
    flags = np.zeros(len(stack), np.uint16)
    for index, picture in enumerate(stack):
        framed = frame(np.asarray(reduced(Image.fromarray(picture))))
        pixels[index] = framed.pixels
        flags[index] = framed.quality
    return pixels, flags


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
