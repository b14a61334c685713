"""Finds candidates for digits in a picture. Provisional: one candidate for each run of inked columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.decode import FORMATS, decode
from serving.image.file_cost import BoundedFile
from serving.image.framing import frame
from serving.image.paper import STROKE, ink_on_paper
from serving.image.picture import ImageLimits, Quality
from serving.readings import Layout

MAX_CANDIDATES = 1024  # of one picture


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Candidates for digits in one picture: n of them, at most MAX_CANDIDATES, 0 for a blank picture."""

    pixels: npt.NDArray[np.uint8]  # (n, 784), framed, 0 = paper, 255 = ink
    boxes: npt.NDArray[np.int32]  # (n, 4): x, y, width, height in pixels of the upright picture as sent
    spans: npt.NDArray[np.int32]  # (n, 3): line, first piece, and one past the last piece that the candidate covers
    costs: npt.NDArray[np.float64]  # (n,): geometric cost
    width: int  # of the upright picture as sent, in pixels
    height: int
    quality: Quality


def segment(encoded: bytes, limits: ImageLimits, layout: Layout) -> Segmentation:
    """Finds candidates for digits in the first picture of a file. Raises InvalidRequestError as decode() does."""
    grey = decode(encoded, limits)
    whole, inked = frame(grey), ink_on_paper(grey)
    width, height = _upright_size(encoded)
    runs: list[tuple[int, int]] = []
    if inked is not None:
        is_inked = np.r_[False, (inked.ink >= STROKE).any(axis=0), False]
        edges = np.flatnonzero(is_inked[1:] != is_inked[:-1]).tolist()
        runs = list(zip(edges[::2], edges[1::2], strict=True))[:MAX_CANDIDATES]
        if layout is Layout.DIGIT:
            runs = [(runs[0][0], runs[-1][1])]
    framed = [frame(np.ascontiguousarray(grey[:, max(0, left - 3) : right + 3])).pixels for left, right in runs]
    scale = width / grey.shape[1]
    boxes = [(int(left * scale), 0, max(1, int((right - left) * scale)), height) for left, right in runs]
    spans = [(0, at, at + 1) for at in range(len(runs))]
    return Segmentation(
        np.array(framed, np.uint8).reshape(-1, 784),
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(spans, np.int32).reshape(-1, 3),
        np.zeros(len(runs)),
        width,
        height,
        whole.quality & ~Quality.SEVERAL_GLYPHS,
    )


def _upright_size(encoded: bytes) -> tuple[int, int]:
    picture = Image.open(BoundedFile(encoded), formats=FORMATS)
    width, height = picture.size
    is_turned = b"exif" in encoded[:64].lower() and picture.getexif().get(0x0112, 1) >= 5
    return (height, width) if is_turned else (width, height)
