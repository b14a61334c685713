"""Preprocesses stacks of grey pictures as the server does: `python -m serving.image [FLAG] IN.npz OUT.npz`.

For programs that need the server's preprocessing without importing it, as training does. Its image holds serving/image,
serving/__init__.py, serving/errors.py, serving/files.py and serving/readings.py, so this module and what it imports
need nothing else of serving.

1. IN.npz holds any number of arrays, each a stack of pictures: (n, h, w) uint8, of any size and polarity.
2. OUT.npz holds for each of them, under its NAME, the framed pixels, (n, 784) uint8, 0 = paper, 255 = ink, and under
   NAME_flags a bit mask of serving.image.picture.Quality for each picture, (n,) uint16.
3. With --candidates it holds what may be digits in pictures of numbers, m of a stack: under NAME the framed pixels,
   (m, 784) uint8; under NAME_boxes x, y, width and height in the picture, (m, 4) int32; under NAME_pictures the place
   of that picture in the stack, (m,) int64.
4. With --strips the pictures are ink, 0 = paper, and the ink of each is one piece, as the column network sees it: it
   holds under NAME the strips, (n, 32, w) uint8, empty on the right up to the widest; under NAME_widths the width of
   each, (n,) int64; under NAME_columns a, b and c, (n, 3) float64: a point (x, y) of the picture, whose first pixel
   reaches from 0 to 1 in both, lies at the column a * x + b * y + c of the strip.
5. With --pixel-measures the pictures are framed pixels, (n, 28, 28); with --measures they are any pictures. It holds,
   for each of the measures in serving.image.measures, an array (n,) float32 under NAME_measure; NaN where a blank
   picture has none.
6. With --files IN is no archive, but a JSON list of paths of picture files. OUT.npz holds `pixels`, (n, 784) uint8,
   `flags`, (n,) uint16, and `errors`, (n,) str: why the file is no picture that the server reads, or nothing.
7. Other input ends it with one line on standard error and exit status 2.
"""

import json
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from serving.errors import InvalidRequestError
from serving.files import read_regular
from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.measures import PICTURE_MEASURES, PIXEL_MEASURES, measured, measures_of
from serving.image.picture import ImageLimits
from serving.image.segmentation.columns import unread
from serving.image.segmentation.cuts import without_slant
from serving.image.segmentation.segmentation import segment_grey
from serving.image.segmentation.strips import HEIGHT, strip_of

USAGE = "usage: python -m serving.image [--candidates | --strips | --measures | --pixel-measures | --files] IN OUT.npz"
LIMITS = ImageLimits(max_bytes=8 * 2**20, max_pixels=36_000_000)  # the server's own, of serving.config
FLAGS_SUFFIX, BOXES_SUFFIX, PICTURES_SUFFIX = "_flags", "_boxes", "_pictures"
WIDTHS_SUFFIX, COLUMNS_SUFFIX = "_widths", "_columns"
MEASURE_SUFFIXES = tuple(f"_{name}" for name in (*PIXEL_MEASURES, *PICTURE_MEASURES))
SUFFIXES = (FLAGS_SUFFIX, BOXES_SUFFIX, PICTURES_SUFFIX, WIDTHS_SUFFIX, COLUMNS_SUFFIX, *MEASURE_SUFFIXES)


class _InputError(Exception):
    """Input that cannot be used. The message is one line."""


def main(arguments: list[str]) -> int:
    """Runs the command. Returns its exit status: 0, or 2 when the input cannot be used."""
    try:
        flags = [each for each in arguments if each in (*_FLAGS, _FILES)]
        paths = [each for each in arguments if each not in (*_FLAGS, _FILES)]
        if len(paths) != 2 or len(flags) > 1:
            raise _InputError(USAGE)
        source, target = map(Path, paths)
        framed: dict[str, npt.NDArray[np.generic]] = {}
        if flags == [_FILES]:
            framed = _frame_files(_paths(source))
        else:
            preprocess = _FLAGS[flags[0]] if flags else _frame_all
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
        for suffix in SUFFIXES:
            if name.endswith(suffix) and name.removesuffix(suffix) in stacks:
                raise _InputError(
                    f"array {name!r} of {source}: the name is needed for the {suffix[1:]} of another array"
                )
    return stacks


def _paths(source: Path) -> list[str]:
    """Reads a list of paths. Raises _InputError, or OSError."""
    try:
        paths = json.loads(source.read_bytes())
    except ValueError as error:
        raise _InputError(f"{source} is no JSON: {error}") from error
    if not isinstance(paths, list) or not all(isinstance(each, str) for each in paths):
        raise _InputError(f"{source}: expected a list of paths")
    return paths


def _frame_files(paths: list[str]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the framed pixels, flags and errors of picture files, one in memory at a time."""
    pixels, flags, errors = np.zeros((len(paths), 784), np.uint8), np.zeros(len(paths), np.uint16), [""] * len(paths)
    for index, path in enumerate(paths):
        try:
            framed = frame(decode(read_regular(Path(path), LIMITS.max_bytes), LIMITS))
        except InvalidRequestError as error:
            errors[index] = str(error)
        except OSError as error:
            errors[index] = error.strerror or "it cannot be read"
        except ValueError:  # a null byte in the path
            errors[index] = "it is no path"
        else:
            pixels[index], flags[index] = framed.pixels, framed.quality
    return {"pixels": pixels, "flags": flags, "errors": np.array(errors, str)}


def _candidates_of(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the candidates in a stack (n, h, w) of pictures of numbers, by the suffix of their name."""
    found = [segment_grey(picture, unread) for picture in stack]
    return {
        "": np.concatenate([np.zeros((0, 784), np.uint8), *(each.pixels for each in found)]),
        BOXES_SUFFIX: np.concatenate([np.zeros((0, 4), np.int32), *(each.boxes for each in found)]),
        PICTURES_SUFFIX: np.repeat(np.arange(len(stack), dtype=np.int64), [len(each.boxes) for each in found]),
    }


def _strips_of(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the strips of a stack (n, h, w) of pictures of ink, by the suffix of their name. Raises _InputError."""
    found = []
    columns = np.zeros((len(stack), 3))
    for index, picture in enumerate(stack):
        left, top, width, height = cv2.boundingRect(picture)
        if not width:
            raise _InputError(f"picture {index} of a stack has no ink, of which --strips makes a strip")
        upright, shifts = without_slant(picture[top : top + height, left : left + width])
        strip = strip_of(upright)
        # Each row was shifted by a whole number of columns: the line that is nearest to these.
        middles = np.stack([np.arange(top, top + height) + 0.5, np.ones(height)], axis=1)
        slant, shift = np.linalg.lstsq(middles, shifts.astype(np.float64), rcond=None)[0]
        columns[index] = strip.scale, strip.scale * slant, strip.scale * (shift - left) + strip.offset
        found.append(strip.pixels)
    widths = np.array([pixels.shape[1] for pixels in found], np.int64)
    strips = np.zeros((len(found), HEIGHT, widths.max(initial=0)), np.uint8)
    for index, pixels in enumerate(found):
        strips[index, :, : pixels.shape[1]] = pixels
    return {"": strips, WIDTHS_SUFFIX: widths, COLUMNS_SUFFIX: columns}


def _measure_pixels(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the measures of a stack of framed pixels, by the suffix of their name. Raises _InputError."""
    if stack.shape[1:] != (28, 28):
        raise _InputError(f"--pixel-measures takes framed pixels, (n, 28, 28), got {stack.shape}")
    return {f"_{name}": each for name, each in zip(PIXEL_MEASURES, measured(stack.reshape(-1, 784)).T, strict=True)}


def _measure_pictures(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the measures of a stack (n, h, w) of pictures, by the suffix of their name."""
    measures = np.full((len(PICTURE_MEASURES), len(stack)), np.nan, np.float32)
    for index, picture in enumerate(stack):
        for name, value in measures_of(frame(picture)):
            measures[PICTURE_MEASURES.index(name), index] = value
    return {f"_{name}": each for name, each in zip(PICTURE_MEASURES, measures, strict=True)}


def _frame_all(stack: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the framed pixels and flags of a stack (n, h, w), by the suffix of their name."""
    pixels = np.zeros((len(stack), 784), np.uint8)
    flags = np.zeros(len(stack), np.uint16)
    for index, picture in enumerate(stack):
        framed = frame(picture)
        pixels[index] = framed.pixels
        flags[index] = framed.quality
    return {"": pixels, FLAGS_SUFFIX: flags}


_FILES = "--files"
_FLAGS = {
    "--candidates": _candidates_of,
    "--strips": _strips_of,
    "--measures": _measure_pictures,
    "--pixel-measures": _measure_pixels,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
