"""Pictures of two or three digits that touch, and what the server's segmentation takes for a digit in them.

What it cuts out as one digit is a digit, with the marks of the cut; what it takes for one though it is two is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.data.arrays import NOT_A_DIGIT, SIDE, Floats, LabelledDigits, Labels, Pixels
from training.data.handwriting import ink
from training.data.preprocessing import Candidates, Preprocess, Segment
from training.synthetic.drawing import slanted
from training.synthetic.placing import exposed

PICTURE = (72, 176)  # height and width
AMBIGUOUS = -2  # label of a candidate that is in no set
_AT_A_TIME = 500  # pictures that are segmented at once
_EDGE = 0.3  # coverage from which on a pixel counts as ink: of boxes, and of digits that touch
_FIELD = 28 / 20  # side of the field that a digit is drawn in, by the height of most digits
_OVERLAP = 0.07  # of the height, at most
_LEAST_OVERLAP = 0.8  # of the boxes of a candidate and of what it shows: intersection over union
_LEAST_INK = 0.85  # of both that lies within a pixel of the other's, once they are framed


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring digits of a picture, or one of them.

    Attributes:
        label: the digit, NOT_A_DIGIT where there are several.
        box: left, top, right and bottom of their ink in the picture; the last two lie outside.
        alone: the picture with nothing else in it, (72, 176) uint8, black on white.
    """

    label: int
    box: tuple[int, int, int, int]
    alone: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TouchingDigits:
    """A picture (72, 176) uint8 of digits that touch, and all runs in it: of two digits three, of three digits six."""

    picture: npt.NDArray[np.uint8]
    runs: tuple[Run, ...]


def draw(digits: LabelledDigits, generator: np.random.Generator) -> TouchingDigits:
    """Two or three digits, each pushed to the left until it touches, or overlaps a little; with any paper and ink."""
    height = generator.uniform(28, 44)
    rows = generator.integers(len(digits), size=3 if generator.random() < 0.3 else 2)
    layers = np.zeros((len(rows), *PICTURE), np.float32)
    for place, row in enumerate(rows):
        drawn = _drawn(digits.pixels[row], height * generator.normal(1, 0.05), generator)
        top = (PICTURE[0] - len(drawn)) / 2 + generator.normal(0, 0.05) * height
        top = int(np.clip(round(top), 0, PICTURE[0] - len(drawn)))
        left = float(generator.integers(4, 12))
        if place:
            left = _first_touch(layers[:place].max(axis=0), drawn, top) - generator.uniform(0, _OVERLAP) * height
        left = int(np.clip(round(left), 0, PICTURE[1] - drawn.shape[1]))
        layers[place, top : top + len(drawn), left : left + drawn.shape[1]] = drawn
    runs = [
        _run(layers[first:last].max(axis=0), int(digits.labels[rows[first]]) if last == first + 1 else NOT_A_DIGIT)
        for first in range(len(rows))
        for last in range(first + 1, len(rows) + 1)
    ]
    return TouchingDigits(exposed(layers.max(axis=0), generator), tuple(runs))


def cut_out(drawn: Sequence[TouchingDigits], preprocess: Preprocess, segment: Segment) -> LabelledDigits:
    """What the segmentation finds in these pictures and is a digit, or none, for certain."""
    parts = [
        _cut_out(drawn[start : start + _AT_A_TIME], preprocess, segment) for start in range(0, len(drawn), _AT_A_TIME)
    ]
    return LabelledDigits(
        np.concatenate([part.pixels for part in parts]), np.concatenate([part.labels for part in parts])
    )


def labels_of(candidates: Candidates, drawn: Sequence[TouchingDigits], runs: Pixels) -> Labels:
    """What candidates (m) show: a digit, NOT_A_DIGIT, or AMBIGUOUS, as a part of a digit is: it may look like a 1.

    A candidate shows a run whose box is nearly its own and whose ink, framed, is nearly its own. Of several candidates
    that show one run all but the first are ambiguous, too: as examples they would be nearly the same.

    Args:
        candidates: of the pictures `drawn`.
        drawn: the pictures.
        runs: (r, 784), all runs of all pictures, framed.
    """
    run_of_picture = np.cumsum([0, *(len(each.runs) for each in drawn)])
    wide, wide_runs = _widened(candidates.pixels), _widened(runs)
    labels = np.full(len(candidates.pictures), AMBIGUOUS, np.int64)
    taken = set()
    for row, (picture, (left, top, width, height)) in enumerate(
        zip(candidates.pictures, candidates.boxes.tolist(), strict=True)
    ):
        shown = []
        for number, run in enumerate(drawn[picture].runs, run_of_picture[picture]):
            if (
                _overlap((left, top, left + width, top + height), run.box) >= _LEAST_OVERLAP
                and _share(candidates.pixels[row], wide_runs[number]) >= _LEAST_INK
                and _share(runs[number], wide[row]) >= _LEAST_INK
            ):
                shown.append((number, run.label))
        if len(shown) == 1 and shown[0] not in taken:
            labels[row] = shown[0][1]
            taken.add(shown[0])
    return labels


def _cut_out(drawn: Sequence[TouchingDigits], preprocess: Preprocess, segment: Segment) -> LabelledDigits:
    candidates = segment(np.stack([each.picture for each in drawn]))
    alone = np.stack([run.alone for each in drawn for run in each.runs])
    labels = labels_of(candidates, drawn, preprocess({"runs": alone})["runs"].pixels)
    certain = np.flatnonzero(labels != AMBIGUOUS)
    return LabelledDigits(candidates.pixels[certain], labels[certain])


def _drawn(pixels: npt.NDArray[np.uint8], height: float, generator: np.random.Generator) -> Floats:
    """A digit redrawn, where most are `height` pixels high: its tight ink."""
    pressed = np.clip(pixels * generator.uniform(0.8, 1.3), 0, 255).astype(np.uint8)
    turn, shear = float(generator.normal(0, 3)), float(generator.normal(0, 0.08))
    drawn = slanted(ink(pressed, round(height * _FIELD)), turn, shear)
    return drawn[: PICTURE[0], : PICTURE[1]]


def _first_touch(sheet: Floats, drawn: Floats, top: int) -> int:
    """Leftmost column at which `drawn` stands right of all ink in each of its rows; it touches in one of them."""
    before, after = sheet[top : top + len(drawn)] >= _EDGE, drawn >= _EDGE
    both = before.any(axis=1) & after.any(axis=1)
    if not both.any():  # over or under one another
        return int(np.flatnonzero(sheet.any(axis=0))[-1]) + 1
    ends = before.shape[1] - np.argmax(before[:, ::-1], axis=1)
    return int((ends - np.argmax(after, axis=1))[both].max())


def _run(sheet: Floats, label: int) -> Run:
    rows, columns = (np.flatnonzero((sheet >= _EDGE).any(axis=axis)) for axis in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Run(label, box, np.rint(255 - 255 * sheet).astype(np.uint8))


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes."""
    shared = max(min(one[2], other[2]) - max(one[0], other[0]), 0) * max(
        min(one[3], other[3]) - max(one[1], other[1]), 0
    )
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return shared / max(sum(areas) - shared, 1)


def _widened(pixels: Pixels) -> Pixels:
    """Images (n, 784) whose ink is a pixel wider to each side."""
    wide: Pixels = ndimage.maximum_filter(pixels.reshape(-1, SIDE, SIDE), (1, 3, 3)).reshape(pixels.shape)
    return wide


def _share(pixels: npt.NDArray[np.uint8], wide: npt.NDArray[np.uint8]) -> float:
    """Share of the ink of an image (784,) that lies under another's."""
    return float(np.minimum(pixels, wide).sum(dtype=np.int64) / max(int(pixels.sum(dtype=np.int64)), 1))
