"""The service's own preprocessing, run as a program: training and serving never import one another."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.data.arrays import PIXELS, SIDE, Arrays, Doubles, Floats, Pixels
from training.errors import DataError

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """Preprocessed pictures: pixels (n, 784) uint8, 0 = paper; flags (n,) int64, a bit mask of quality flags."""

    pixels: Pixels
    flags: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FramedFiles:
    """What the server makes of picture files.

    Attributes:
        pixels: (n, 784) uint8, 0 = paper; all 0 where there is an error.
        flags: (n,) int64, a bit mask of quality flags.
        errors: why a file is no picture that the server reads; empty where it is one.
    """

    pixels: Pixels
    flags: npt.NDArray[np.int64]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may be digits in n pictures of numbers, m of them.

    Attributes:
        pixels: (m, 784) uint8, framed, 0 = paper.
        boxes: (m, 4) int32: x, y, width and height in the picture.
        pictures: (m,) int64, the place of the picture, not falling.
    """

    pixels: Pixels
    boxes: npt.NDArray[np.int32]
    pictures: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strips:
    """Strips of n pieces of ink, as the column network sees them.

    Attributes:
        pixels: (n, 32, w) uint8, 0 = paper, empty behind the strip.
        widths: (n,) int64, of each strip, up to w.
        columns: (n, 3) float64: a, b and c such that a point (x, y) of the picture lies at the column a x + b y + c.
    """

    pixels: npt.NDArray[np.uint8]
    widths: npt.NDArray[np.int64]
    columns: Doubles


# Measures of pictures by name, (n,) float32 each; NaN where a picture has none.
Measures: TypeAlias = Mapping[str, Floats]
Preprocess: TypeAlias = Callable[[Mapping[str, npt.NDArray[np.uint8]]], Mapping[str, Preprocessed]]
Segment: TypeAlias = Callable[[npt.NDArray[np.uint8]], Candidates]
MakeStrips: TypeAlias = Callable[[Sequence[npt.NDArray[np.uint8]]], Strips]

_STACKS = 16  # of pictures of like sizes, so that little paper is added to make them of one size


def preprocess_pictures(stacks: Mapping[str, npt.NDArray[np.uint8]]) -> Mapping[str, Preprocessed]:
    """Each picture brought into MNIST's frame by `python -m serving.image`, one process for all of them.

    Args:
        stacks: pictures by any name, those of one name of one size: (n, h, w) uint8 grey levels, any polarity.

    Raises:
        DataError: the command cannot run here (serving's packages are missing), or failed.
    """
    keys = {f"stack{number}": name for number, name in enumerate(stacks)}
    made = _run({key: stacks[name] for key, name in keys.items()})
    return {name: _checked(name, made[key], made[f"{key}_flags"], len(stacks[name])) for key, name in keys.items()}


def preprocess_files(paths: Sequence[Path]) -> FramedFiles:
    """Picture files decoded and framed as the server does, within its limits on bytes and pixels, one at a time.

    Raises:
        DataError: as for `preprocess_pictures`. A file that is no picture is no error here.
    """
    made = _run([str(each.absolute()) for each in paths], "--files")
    framed = _checked("files", made["pixels"], made["flags"], len(paths))
    return FramedFiles(framed.pixels, framed.flags, tuple(map(str, made["errors"])))


def segment_pictures(pictures: npt.NDArray[np.uint8]) -> Candidates:
    """What the server's segmentation takes for digits in pictures of numbers, (n, h, w) uint8, as `Read` does.

    Raises:
        DataError: as for `preprocess_pictures`.
    """
    made = _run({"numbers": pictures}, "--candidates")
    found = Candidates(made["numbers"], made["numbers_boxes"], made["numbers_pictures"])
    count = len(found.pictures)
    if found.pixels.shape != (count, PIXELS) or found.boxes.shape != (count, 4):
        raise RuntimeError(f"segmentation made {found.pixels.shape} and {found.boxes.shape}: this is a bug")
    return found


def measure_pixels(pixels: Pixels) -> Measures:
    """What the server measures of framed pixels, (n, 784) uint8, for drift.

    Raises:
        DataError: as for `preprocess_pictures`.
    """
    return _measures({"p": pixels.reshape(-1, SIDE, SIDE)}, "--pixel-measures")


def measure_pictures(pictures: npt.NDArray[np.uint8]) -> Measures:
    """What the server measures of pictures, (n, h, w) uint8, for drift, before it frames them.

    Raises:
        DataError: as for `preprocess_pictures`.
    """
    return _measures({"p": pictures}, "--measures")


def _measures(stacks: Mapping[str, npt.NDArray[np.uint8]], flag: str) -> Measures:
    return {name.removeprefix("p_"): array for name, array in _run(stacks, flag).items()}


def strips_of_pictures(pictures: Sequence[npt.NDArray[np.uint8]]) -> Strips:
    """The strips of pictures of ink, (h, w) uint8 each, 0 = paper, of any sizes. The ink of each is one piece.

    Raises:
        DataError: as for `preprocess_pictures`, or a picture has no ink.
    """
    order = np.argsort([each.size for each in pictures], kind="stable")
    groups = [each for each in np.array_split(order, _STACKS) if each.size]
    made = _run(
        {f"stack{number}": _stacked([pictures[row] for row in rows]) for number, rows in enumerate(groups)}, "--strips"
    )
    stacks = [made[f"stack{number}"] for number in range(len(groups))]
    strips = np.zeros((len(pictures), stacks[0].shape[1], max(each.shape[2] for each in stacks)), np.uint8)
    widths, columns = np.zeros(len(pictures), np.int64), np.zeros((len(pictures), 3))
    for number, (rows, stack) in enumerate(zip(groups, stacks, strict=True)):
        strips[rows, :, : stack.shape[2]] = stack
        widths[rows], columns[rows] = made[f"stack{number}_widths"], made[f"stack{number}_columns"]
    return Strips(strips, widths, columns)


def _stacked(pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Pictures as one stack, with paper on the right and below."""
    stack = np.zeros((len(pictures), max(map(len, pictures)), max(each.shape[1] for each in pictures)), np.uint8)
    for row, picture in enumerate(pictures):
        stack[row, : picture.shape[0], : picture.shape[1]] = picture
    return stack


def _checked(name: str, pixels: Pixels, flags: npt.NDArray[np.int64], count: int) -> Preprocessed:
    if pixels.shape != (count, PIXELS) or flags.shape != (count,):
        raise RuntimeError(f"preprocessing made {pixels.shape} of {count} pictures of {name}: this is a bug")
    return Preprocessed(pixels, flags.astype(np.int64))


def _run(pictures: Mapping[str, npt.NDArray[np.uint8]] | list[str], *flags: str) -> Arrays:
    """What `python -m serving.image` makes of these stacks, or of files by their paths."""
    with tempfile.TemporaryDirectory(prefix="mnist-preprocessing-") as folder:
        source, target = Path(folder) / "pictures.npz", Path(folder) / "preprocessed.npz"
        if isinstance(pictures, list):
            source.write_text(json.dumps(pictures), encoding="utf-8")
        else:
            np.savez(source, allow_pickle=False, **pictures)
        command = [sys.executable, "-m", "serving.image", *flags, str(source), str(target)]
        finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if finished.returncode == 0:
            with np.load(target) as file:
                return dict(file)
    last = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
    if "ModuleNotFoundError" in last:
        raise DataError(
            f"pictures go through the server's own preprocessing, which cannot run here: {last}.\n"
            "Install the training requirements again (requirements/training.txt) and run from a whole checkout."
        )
    raise DataError(f"the preprocessing (python -m serving.image) failed: {last}")
