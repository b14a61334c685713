"""MNIST's digits of tests/data drawn at any size, with smooth outlines or with a pen."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from training.evaluation.thinning import thinned

Grey = npt.NDArray[np.uint8]  # (h, w), 0 = black
Floats = npt.NDArray[np.float32]  # (h, w): a picture of grey levels, or the share of each pixel that ink covers
Generator = np.random.Generator

with np.load(Path(__file__).parents[1] / "data" / "digits.npz") as _file:
    DIGITS: Grey = _file["pixels"].reshape(-1, 28, 28)
    LABELS: npt.NDArray[np.int64] = _file["label"]


def drawn(digit: Grey, side: float, rng: Generator) -> Floats:
    """Draws `digit`, (28, 28), with its longer side `side` pixels long: the share of each pixel that ink covers."""
    box = _tight(digit, 40)
    scale = side / max(box.shape)
    height, width = (max(2, round(length * scale)) for length in box.shape)
    large = cv2.resize(box.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(large, (0, 0), max(0.5, 0.45 * scale))
    ink: Floats = np.clip((smooth - rng.uniform(90, 140)) / 60 + 0.5, 0, 1)
    return ink


def pen_drawn(digit: Grey, side: float, pen: float) -> Floats:
    """Draws the middle line of the strokes of `digit` with a pen of `pen` pixels."""
    skeleton = thinned(np.pad(_tight(digit, 100) > 100, 1)[None])[0]
    points = np.argwhere(skeleton)[:, ::-1]
    scale = side / max(skeleton.shape)
    edge = int(pen)
    height, width = (int(length * scale) + 2 * edge + 1 for length in skeleton.shape)
    paper = np.full((height, width), 1, np.uint8)
    for index, point in enumerate(points):
        for other in points[:index][np.abs(points[:index] - point).max(axis=1) == 1]:
            start, end = ((int(x * scale) + edge, int(y * scale) + edge) for x, y in (point, other))
            cv2.line(paper, start, end, 0)
    ink: Floats = np.clip(pen / 2 + 0.5 - cv2.distanceTransform(paper, cv2.DIST_L2, 5), 0, 1).astype(np.float32)
    return ink


def placed(ink: Floats, height: int, width: int, rng: Generator, margin: float = 0.08) -> Floats:
    """Places `ink` anywhere in a picture of that size, but for a margin, a share of each side."""
    picture = np.zeros((height, width), np.float32)
    top, left = (
        int(rng.uniform(margin * room, max(margin * room, (1 - margin) * room - length)))
        for room, length in zip(picture.shape, ink.shape, strict=True)
    )
    top, left = min(top, height - ink.shape[0]), min(left, width - ink.shape[1])
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture


def _tight(digit: Grey, level: int) -> Grey:
    rows, columns = np.nonzero(digit > level)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
