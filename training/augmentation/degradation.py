"""Damage by scanners, cameras, pens and forms: a share of the training images gets one kind of it.

Stateless, as `distortion` is. Rows come in random order, so each kind simply takes the next rows of the batch.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training.augmentation.distortion import interpolation_weights, thickest
from training.data.arrays import SIDE, Floats

_SEED_STEP = 1 << 20  # between the seeds of the kinds; augmentation's own draws are nearer together
_COARSE_SIDES = (8, 9, 10, 11, 12, 14, 16, 18)  # 8 of 28: a digit of 20 pixels comes to 6
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
_PIXEL = np.arange(SIDE, dtype=np.float32)


def degrade(images: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """`images` (n, 28, 28) float32 in 0..1, of which the first `share` are degraded, the kinds in equal parts.

    Args:
        images: 0 = paper; n must be known when the graph is traced.
        share: 0..1.
        seed: (2,) int32; the same seed gives the same images.
    """
    each = int(images.shape[0] * share / len(KINDS))
    if not each:
        return images
    parts = tf.split(images, [each] * len(KINDS) + [images.shape[0] - each * len(KINDS)])
    degraded = [
        kind(part, seed + tf.constant([_SEED_STEP * number, 0]))
        for number, (kind, part) in enumerate(zip(KINDS, parts, strict=False), start=1)
    ]
    return tf.clip_by_value(tf.concat([*degraded, parts[-1]], axis=0), 0.0, 1.0)


def blurred(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Out of focus or moved while exposed: smoothed along rows and columns, each by its own amount."""
    across, down = _uniform(images, seed, 2, 0.0, 1.0)
    images += across * (_smoothed(_smoothed(images, 2), 2) - images)
    return images + down * (_smoothed(_smoothed(images, 1), 1) - images)


def coarse(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """From a source of 8 to 18 pixels a side: averaged down and enlarged again, smoothly or in blocks."""
    tables = tf.constant(_COARSE)
    chosen = tf.gather(tables, tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, len(_COARSE), tf.int32))
    return tf.matmul(tf.matmul(chosen, images), chosen, transpose_b=True)


def binarised(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Black and white only, cut at a random level; half of them from a coarse source."""
    level, from_coarse = _uniform(images, seed, 2, 0.0, 1.0)
    source = tf.where(from_coarse < 0.5, coarse(images, seed + 1), images)
    full = tf.reduce_max(source, axis=[1, 2], keepdims=True)
    return tf.cast(source > (0.15 + 0.45 * level) * full, tf.float32)


def noisy(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A sensor's noise on every pixel, and some pixels stuck at paper or ink."""
    amount, stuck, lift = _uniform(images, seed, 3, 0.0, 1.0)
    noise = tf.random.stateless_normal(tf.shape(images), seed + 1)
    spots = tf.random.stateless_uniform(tf.shape(images), seed + 2)
    images += 0.35 * amount * noise * (1 - lift + lift * tf.sqrt(tf.maximum(images, 0.0)))
    limit = 0.15 * tf.nn.relu(2 * stuck - 1)
    return tf.where(spots < limit, 1.0, tf.where(spots > 1 - limit, 0.0, images))


def shaded(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Faint ink on paper that is not clean: grey, cloudy, or lit from one side."""
    contrast, grey, cloudy = _uniform(images, seed, 3, 0.0, 1.0)
    paper = 0.6 * grey + 0.6 * cloudy * _clouds(images, seed + 1)
    faint = images * (1 - 0.5 * contrast)
    washed = faint + paper * (1 - faint)
    return tf.where(grey + cloudy < 0.5, images * (1 - 0.8 * contrast), washed)


def crossed(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Lines of a form, or of another pen, run over the digit: whole or dotted, two of them."""
    first, second = _line(images, seed), _line(images, seed + 3)
    return tf.maximum(images, tf.maximum(first, second))


def broken(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Ink is missing along a line and in blotches, and there are splashes where none should be."""
    gap = _line(images, seed)
    missing, splashed = _uniform(images, seed + 6, 2, 0.0, 1.0)
    worn = images * (1 - gap) * (1 - tf.cast(_clouds(images, seed + 7, 10) > 0.95 - 0.25 * missing, tf.float32))
    return tf.maximum(worn, tf.cast(_clouds(images, seed + 8, 14) > 1 - 0.15 * splashed, tf.float32) * splashed)


def banded(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Ink and paper change places in a band or outside of it, as where a form's field is printed dark."""
    width, side = _uniform(images, seed, 2, 0.0, 1.0)
    distance = tf.abs(_signed_distance(images, seed + 1))
    band = distance < 1.0 + 6.0 * width
    return tf.where(band ^ (side < 0.3), 1 - images, images)


def outlined(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Only the edges of the strokes, as a contour filter leaves them."""
    (weight,) = _uniform(images, seed, 1, 0.8, 2.0)
    return (thickest(images) - images) * weight


KINDS: tuple[Callable[[tf.Tensor, tf.Tensor], tf.Tensor], ...] = (
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


def _uniform(images: tf.Tensor, seed: tf.Tensor, count: int, low: float, high: float) -> list[tf.Tensor]:
    """`count` numbers for each image, as (n, 1, 1) float32 each."""
    draws = tf.random.stateless_uniform([count, tf.shape(images)[0], 1, 1], seed, low, high)
    return [draws[number] for number in range(count)]


def _smoothed(images: tf.Tensor, axis: int) -> tf.Tensor:
    """A 5-pixel binomial filter along one axis (1: rows, 2: columns); paper beyond the border."""
    padded = tf.pad(images, [[0, 0], [2, 2], [0, 0]] if axis == 1 else [[0, 0], [0, 0], [2, 2]])
    return tf.add_n(
        [w * (padded[:, i : i + SIDE] if axis == 1 else padded[:, :, i : i + SIDE]) for i, w in enumerate(_BINOMIAL)]
    )


def _clouds(images: tf.Tensor, seed: tf.Tensor, knots: int = 4) -> tf.Tensor:
    """Smooth random fields in 0..1, (n, 28, 28), of that many knots a side."""
    grid = tf.random.stateless_uniform([tf.shape(images)[0], knots, knots], seed)
    weights = tf.constant(interpolation_weights(knots))
    return tf.einsum("ai,nij,bj->nab", weights, grid, weights)


def _signed_distance(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pixels from a random straight line that passes within 9 pixels of the middle, (n, 28, 28)."""
    turn, offset = _uniform(images, seed, 2, 0.0, 1.0)
    return _along(np.pi * turn) - 18 * (offset - 0.5)


def _line(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Ink of a random straight line, 1 to 3 pixels wide, (n, 28, 28) in 0..1; two in five are dotted."""
    turn, offset, width, gaps = _uniform(images, seed, 4, 0.0, 1.0)
    distance = tf.abs(_along(np.pi * turn) - 18 * (offset - 0.5))
    line = tf.clip_by_value(1.0 + width - distance, 0.0, 1.0)
    dots = tf.cast(tf.sin(_along(np.pi * (turn + 0.5)) * (0.8 + width)) > 0, tf.float32)
    return tf.where(gaps < 0.4, line * dots, line)


def _along(angle: tf.Tensor) -> tf.Tensor:
    """Distance of each pixel from the middle in the direction `angle` (n, 1, 1), in pixels: (n, 28, 28)."""
    place = _PIXEL - (SIDE - 1) / 2
    return tf.cos(angle) * place[tf.newaxis, tf.newaxis, :] + tf.sin(angle) * place[tf.newaxis, :, tf.newaxis]


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
