"""Picture files of several digits, composed of images of the committed model's golden file."""

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.processes import ROOT

GAP = 10  # pixels of paper between digits, and around them
SIDE = 28


def picture_of(*lines: str, form: str = "PNG") -> bytes:
    """A file with these lines of digits, black on white; the digits stand 38 pixels apart."""
    return file_of(Image.fromarray(255 - ink_of(lines)), form)


def ink_of(lines: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The ink of these lines of digits, (h, w) uint8, 0 = paper."""
    step = SIDE + GAP
    ink = np.zeros((GAP + step * len(lines), GAP + step * max(map(len, lines), default=1)), np.uint8)
    for row, line in enumerate(lines):
        for column, digit in enumerate(line):
            top, left = GAP + row * step, GAP + column * step
            ink[top : top + SIDE, left : left + SIDE] = _golden_images()[int(digit)]
    return ink


def file_of(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@cache
def _golden_images() -> dict[int, npt.NDArray[np.uint8]]:
    """The most certain image of each digit."""
    [*_, newest] = sorted((ROOT / "models" / "mnist").glob("*/golden.npz"), key=lambda path: int(path.parent.name))
    golden = np.load(newest)
    surest = {digit: golden["probabilities"][:, digit].argmax() for digit in range(10)}
    return {digit: golden["pixels"][index].reshape(SIDE, SIDE) for digit, index in surest.items()}
