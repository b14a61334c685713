"""Damage by scanners, cameras, pens and forms: a share of the training images gets one kind of it.

Stateless, as `distortion` is. Rows come in random order, so each kind simply takes the next rows of the batch.
"""

import functools
from collections.abc import Callable

import numpy as np
from keras import ops

from training.augmentation.distortion import interpolation_weights, thickest
from training.backend import Tensor, integers, normal, uniform
from training.data.arrays import SIDE, Floats

_SEED_STEP = 1 << 20  # between the seeds of the kinds; augmentation's own draws are nearer together
_COARSE_SIDES = (8, 9, 10, 11, 12, 14, 16, 18)  # 8 of 28: a digit of 20 pixels comes to 6
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
_PIXEL = np.arange(SIDE, dtype=np.float32)


def degrade(images: Tensor, share: float, seed: Tensor) -> Tensor:
    """`images` (n, 28, 28) float32 in 0..1, of which the first `share` are degraded, about as many by each kind.

    Args:
        images: 0 = paper; n must be known when the graph is traced.
        share: 0..1.
        seed: (2,) int32; the same seed gives the same images.
    """
    # What does not go into nine equal parts is an image more for the first kinds; left out, 20 % of 176 would be 15 %.
    each, more = divmod(round(images.shape[0] * share), len(KINDS))
    counts = [each + (number < more) for number in range(len(KINDS))]
    parts = ops.split(images, np.cumsum(counts).tolist())
    degraded = [
        kind(part, seed + np.array([_SEED_STEP * number, 0], np.int32))
        for number, (kind, part, count) in enumerate(zip(KINDS, parts, counts, strict=False), start=1)
        if count
    ]
    return ops.clip(ops.concatenate([*degraded, parts[-1]], axis=0), 0.0, 1.0)


def blurred(images: Tensor, seed: Tensor) -> Tensor:
    """Out of focus or moved while exposed: smoothed along rows and columns, each by its own amount."""
    across, down = _uniform(images, seed, 2, 0.0, 1.0)
    images += across * (_smoothed(_smoothed(images, 2), 2) - images)
    return images + down * (_smoothed(_smoothed(images, 1), 1) - images)


def coarse(images: Tensor, seed: Tensor) -> Tensor:
    """From a source of 8 to 18 pixels a side: averaged down and enlarged again, smoothly or in blocks."""
    chosen = ops.take(_COARSE, integers([ops.shape(images)[0]], seed, len(_COARSE)), axis=0)
    return ops.matmul(ops.matmul(chosen, images), ops.swapaxes(chosen, 1, 2))


def binarised(images: Tensor, seed: Tensor) -> Tensor:
    """Black and white only, cut at a random level; half of them from a coarse source."""
    level, from_coarse = _uniform(images, seed, 2, 0.0, 1.0)
    source = ops.where(from_coarse < 0.5, coarse(images, seed + 1), images)
    full = ops.max(source, axis=[1, 2], keepdims=True)
    return ops.cast(source > (0.15 + 0.45 * level) * full, "float32")


def noisy(images: Tensor, seed: Tensor) -> Tensor:
    """A sensor's noise on every pixel, and some pixels stuck at paper or ink."""
    amount, stuck, lift = _uniform(images, seed, 3, 0.0, 1.0)
    noise = normal(ops.shape(images), seed + 1)
    spots = uniform(ops.shape(images), seed + 2)
    images += 0.35 * amount * noise * (1 - lift + lift * ops.sqrt(ops.maximum(images, 0.0)))
    limit = 0.15 * ops.relu(2 * stuck - 1)
    return ops.where(spots < limit, 1.0, ops.where(spots > 1 - limit, 0.0, images))


def shaded(images: Tensor, seed: Tensor) -> Tensor:
    """Faint ink on paper that is not clean: grey, cloudy, with stains, or lit from one side."""
    contrast, grey, cloudy, fine, hard, level = _uniform(images, seed, 6, 0.0, 1.0)
    middle = 0.3 + 0.4 * level
    clouds = ops.where(fine < 0.5, _clouds(images, seed + 1), _clouds(images, seed + 2, 9))
    # From clouds to stains with an edge. A large network that knew soft clouds alone misread digits on stained paper.
    clouds = ops.clip((clouds - middle) * (1 + 30 * hard**4) + middle, 0.0, 1.0)
    paper = 0.6 * grey + 0.5 * cloudy * clouds
    faint = images * (1 - 0.5 * contrast)
    washed = faint + paper * (1 - faint)
    return ops.where(grey + cloudy < 0.5, images * (1 - 0.8 * contrast), washed)


def crossed(images: Tensor, seed: Tensor) -> Tensor:
    """Lines of a form, or of another pen, run over the digit: straight or bent, whole or dotted, two of them."""
    first, second = _line(images, seed), _line(images, seed + 3)
    return ops.maximum(images, ops.maximum(first, second))


def broken(images: Tensor, seed: Tensor) -> Tensor:
    """Ink is missing along a line and in spots; blots of any grey, hard or soft, cover ink and paper alike."""
    gap = _line(images, seed)
    missing, blotted, grey, soft, fine = _uniform(images, seed + 6, 5, 0.0, 1.0)
    worn = images * (1 - gap) * (1 - ops.cast(_clouds(images, seed + 7, 10) > 0.95 - 0.25 * missing, "float32"))
    clouds = ops.where(fine < 0.5, _clouds(images, seed + 8, 14), _clouds(images, seed + 9, 9))
    blot = ops.clip((clouds - 1 + 0.3 * blotted) / (0.01 + 0.3 * soft), 0.0, 1.0)
    return worn + blot * (grey - worn)


def banded(images: Tensor, seed: Tensor) -> Tensor:
    """Ink and paper change places in a band or outside of it, as where a form's field is printed dark."""
    width, side = _uniform(images, seed, 2, 0.0, 1.0)
    distance = ops.abs(_signed_distance(images, seed + 1))
    band = distance < 1.0 + 6.0 * width
    return ops.where(band ^ (side < 0.3), 1 - images, images)


def outlined(images: Tensor, seed: Tensor) -> Tensor:
    """Only the edges of the strokes, as a contour filter leaves them."""
    (weight,) = _uniform(images, seed, 1, 0.8, 2.0)
    return (thickest(images) - images) * weight


KINDS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    blurred,
    coarse,
    binarised,
    noisy,
    shaded,
    crossed,
    broken,
    banded,
    outlined,
)


def _uniform(images: Tensor, seed: Tensor, count: int, low: float, high: float) -> list[Tensor]:
    """`count` numbers for each image, as (n, 1, 1) float32 each."""
    draws = uniform([count, ops.shape(images)[0], 1, 1], seed, low, high)
    return [draws[number] for number in range(count)]


def _smoothed(images: Tensor, axis: int) -> Tensor:
    """A 5-pixel binomial filter along one axis (1: rows, 2: columns); paper beyond the border."""
    padded = ops.pad(images, [[0, 0], [2, 2], [0, 0]] if axis == 1 else [[0, 0], [0, 0], [2, 2]])
    parts = [
        w * (padded[:, i : i + SIDE] if axis == 1 else padded[:, :, i : i + SIDE]) for i, w in enumerate(_BINOMIAL)
    ]
    return functools.reduce(ops.add, parts)


def _clouds(images: Tensor, seed: Tensor, knots: int = 4) -> Tensor:
    """Smooth random fields in 0..1, (n, 28, 28), of that many knots a side."""
    grid = uniform([ops.shape(images)[0], knots, knots], seed)
    weights = interpolation_weights(knots)
    return ops.einsum("ai,nij,bj->nab", weights, grid, weights)


def _signed_distance(images: Tensor, seed: Tensor) -> Tensor:
    """Pixels from a random straight line that passes within 9 pixels of the middle, (n, 28, 28)."""
    turn, offset = _uniform(images, seed, 2, 0.0, 1.0)
    return _along(np.pi * turn) - 18 * (offset - 0.5)


def _line(images: Tensor, seed: Tensor) -> Tensor:
    """Ink of a random line, 1 to 3 pixels wide, (n, 28, 28) in 0..1; one in three is bent, two in five are dotted."""
    turn, offset, width, gaps, bent, height, period, phase = _uniform(images, seed, 8, 0.0, 1.0)
    along, across = _along(np.pi * (turn + 0.5)), _along(np.pi * turn) - 18 * (offset - 0.5)
    # A zigzag of 1 to 4 pixels to either side, 5 to 16 from tooth to tooth; the divisor keeps its slopes as wide.
    apart = 5.0 + 11.0 * period
    height = ops.where(bent < 1 / 3, 1.0 + 3.0 * height, 0.0)
    teeth = along / apart + phase
    zigzag = ops.abs(4 * (teeth - ops.floor(teeth)) - 2) - 1
    distance = ops.abs(across - height * zigzag) / ops.sqrt(1 + (4 * height / apart) ** 2)
    line = ops.clip(1.0 + width - distance, 0.0, 1.0)
    dots = ops.cast(ops.sin(along * (0.8 + width)) > 0, "float32")
    return ops.where(gaps < 0.4, line * dots, line)


def _along(angle: Tensor) -> Tensor:
    """Distance of each pixel from the middle in the direction `angle` (n, 1, 1), in pixels: (n, 28, 28)."""
    place = _PIXEL - (SIDE - 1) / 2
    return ops.cos(angle) * place[np.newaxis, np.newaxis, :] + ops.sin(angle) * place[np.newaxis, :, np.newaxis]


def _coarse_tables() -> Floats:
    """(kinds, 28, 28) float32 matrices that average a line down to few pixels and enlarge it again."""
    tables = []
    for side in _COARSE_SIDES:
        edges, lines = np.linspace(0, SIDE, side + 1), np.arange(SIDE)
        overlap = np.minimum(edges[1:, None], lines + 1) - np.maximum(edges[:-1, None], lines)
        down = np.clip(overlap, 0, None) * (side / SIDE)
        place = np.clip((lines + 0.5) * side / SIDE - 0.5, 0, side - 1)
        smooth = np.clip(1 - np.abs(place[:, None] - np.arange(side)), 0, 1)
        blocks = np.eye(side)[np.minimum((lines + 0.5) * side / SIDE, side - 1).astype(np.int64)]
        tables += [smooth @ down, blocks @ down]
    return np.stack(tables).astype(np.float32)


_COARSE = _coarse_tables()
