"""Strokes thinned to lines of one pixel, and those lines followed into polylines, as a pen would have drawn them.

The thinning is Zhang and Suen's (Communications of the ACM 27(3), 1984), for a whole stack at once.
"""

import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.bool_]  # (n, h, w)
Path = list[tuple[int, int]]  # rows and columns
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise from above: P2 ... P9


def thinned(masks: Masks) -> Masks:
    """The skeletons of these strokes, of the same shape; the outermost pixels must be empty."""
    skeletons = masks.copy()
    while True:
        before = skeletons.sum()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            skeletons &= ~_removable(skeletons, first, second)
        if skeletons.sum() == before:
            return skeletons


def _removable(masks: Masks, first: tuple[int, ...], second: tuple[int, ...]) -> Masks:
    around = [np.roll(masks, (-row, -column), axis=(1, 2)) for row, column in _AROUND]
    inked = np.sum(around, axis=0)
    begins = np.sum([~a & b for a, b in zip(around, [*around[1:], around[0]], strict=True)], axis=0)
    held = [np.logical_and.reduce([around[place] for place in places]) for places in (first, second)]
    removable: Masks = masks & (inked >= 2) & (inked <= 6) & (begins == 1) & ~held[0] & ~held[1]
    return removable


def paths(skeleton: npt.NDArray[np.bool_]) -> list[Path]:
    """The lines of one skeleton, (h, w), each followed from an end or a junction to the next; rings are closed.

    Every pixel is on a line; a pixel by itself is a line of one.
    """
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(skeleton), strict=True)}
    all_pixels = frozenset(left)
    found = []
    while left:
        start = min(left, key=lambda pixel: (len(_neighbours(pixel, left)) != 1, pixel))  # an end, where there is one
        found.append(_followed(start, left, all_pixels))
    return found


def _followed(start: tuple[int, int], left: set[tuple[int, int]], all_pixels: frozenset[tuple[int, int]]) -> Path:
    """The line from `start`, whose pixels are taken out of `left`, ended on the pixel of another line it runs into."""
    path = [start]
    left.discard(start)
    while ahead := _neighbours(path[-1], left):
        path.append(min(ahead, key=lambda pixel: _turn(path, pixel)))
        left.discard(path[-1])
    met = [pixel for pixel in _neighbours(path[-1], all_pixels) if pixel not in path[-3:]]
    return [*path, met[0]] if met else path


def _neighbours(
    pixel: tuple[int, int], among: set[tuple[int, int]] | frozenset[tuple[int, int]]
) -> list[tuple[int, int]]:
    return [near for row, column in _AROUND if (near := (pixel[0] + row, pixel[1] + column)) in among]


def _turn(path: Path, pixel: tuple[int, int]) -> float:
    """Turn that the pen would have to make, as a negative cosine; 0 at the start of a line."""
    back = path[max(len(path) - 4, 0)]
    before = (path[-1][0] - back[0], path[-1][1] - back[1])
    step = (pixel[0] - path[-1][0], pixel[1] - path[-1][1])
    length = float(np.hypot(*before) * np.hypot(*step))
    return -(before[0] * step[0] + before[1] * step[1]) / length if length else 0.0
