"""Blocks of rows on their way from an input to the model: ids, pixels, remarks, and why a row has no picture."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.errors import InvalidRequestError
from serving.image.picture import ImageLimits
from serving.predictions import PIXELS, Pixels

BLOCK_ROWS = 1024  # of pixels; they are framed, so a block has less than a megabyte


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason why an item of the input has no digit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Pixels of one image, 784 bytes, which are taken as they are."""

    pixels: bytes


Content = bytes | Raw | Problem  # bytes: of a picture file
Item = tuple[str, Content]  # with its id


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of an input: `pixels` (n, 784) uint8, all 0 where `errors` has the row; `quality`: remarks by row."""

    ids: list[str]
    pixels: Pixels
    quality: npt.NDArray[np.uint8] | None = None  # (n,), image.picture.Quality; None: no remarks
    errors: dict[int, str] = field(default_factory=dict)


def numbered(prefix: str, first: int, pixels: Pixels) -> Block:
    """Makes a block of raw pixels, whose ids are `prefix` and the row's number from `first` on."""
    return Block([f"{prefix}{row}" for row in range(first, first + len(pixels))], pixels)


def one_problem(identity: str, reason: str) -> Block:
    """Makes a block of one row that has only a reason."""
    return Block([identity], np.zeros((1, PIXELS), np.uint8), None, {0: reason})


def framed(items: Iterable[Item], limits: ImageLimits) -> Iterator[Block]:
    """Decodes and frames pictures, one at a time, and yields them in blocks. What cannot be decoded is an error."""
    frame = _framing(limits)
    ids: list[str] = []
    pixels, quality, errors = _empty()
    for identity, content in items:
        row = len(ids)
        ids.append(identity)
        if isinstance(content, Problem):
            errors[row] = content.reason
        elif isinstance(content, Raw):
            pixels[row] = np.frombuffer(content.pixels, np.uint8)
        else:
            try:
                pixels[row], quality[row] = frame(content)
            except InvalidRequestError as error:
                errors[row] = str(error)
        if len(ids) == BLOCK_ROWS:
            yield Block(ids, pixels, quality, errors)
            ids = []
            pixels, quality, errors = _empty()
    if ids:
        yield Block(ids, pixels[: len(ids)], quality[: len(ids)], errors)


def _empty() -> tuple[Pixels, npt.NDArray[np.uint8], dict[int, str]]:
    return np.zeros((BLOCK_ROWS, PIXELS), np.uint8), np.zeros(BLOCK_ROWS, np.uint8), {}


def _framing(limits: ImageLimits) -> Callable[[bytes], tuple[Pixels, int]]:
    # Imported here: OpenCV and Pillow take about 30 MiB, and raw pixels need neither.
    from serving.image.decode import decode
    from serving.image.framing import frame

    def run(content: bytes) -> tuple[Pixels, int]:
        found = frame(decode(content, limits))
        return found.pixels, int(found.quality)

    return run
