"""Whole fields that show nothing: textures, noise, stripes and blanks. Each is (28, 28) float32 in 0..1, 1 = ink."""

import numpy as np
from PIL import Image

from training.data.arrays import SIDE, Floats


def texture(generator: np.random.Generator) -> Floats:
    """Gratings, checkers, clouds, blotches, gradients, or one seen through another."""
    field = _one_texture(generator)
    if generator.random() < 0.2:
        field = field * _one_texture(generator)
    return _contrasted(field, generator)


def noise(generator: np.random.Generator) -> Floats:
    """Uniform, Gaussian, salt and pepper, correlated, of any density and level; some in a part of the field only."""
    kind = int(generator.integers(5))
    if kind == 0:
        field = generator.uniform(0, generator.uniform(0.2, 1), (SIDE, SIDE))
    elif kind == 1:
        field = generator.normal(generator.uniform(0, 1), generator.uniform(0.05, 0.5), (SIDE, SIDE))
    elif kind == 2:
        field = np.where(generator.random((SIDE, SIDE)) < generator.uniform(0.02, 0.9), generator.uniform(0.3, 1), 0.0)
    elif kind == 3:
        levels = generator.random((SIDE, SIDE))
        field = np.where(levels < generator.uniform(0.02, 0.4), levels, 0.0) * generator.uniform(1, 8)
    else:
        coarse = generator.random((int(generator.integers(4, 20)),) * 2)
        field = np.asarray(_enlarged(coarse.astype(np.float32)), np.float64)
        field = np.where(field > generator.uniform(0.2, 0.8), field, 0.0)
    if generator.random() < 0.25:
        field = field * _window(generator)
    clipped: Floats = np.clip(field, 0, 1).astype(np.float32)
    return clipped


def stripes(generator: np.random.Generator) -> Floats:
    """Bars across the whole field, or frames along its border. Never one narrow upright bar: that is a 1."""
    field = np.zeros((SIDE, SIDE), np.float32)
    kind = int(generator.integers(3))
    if kind == 0:
        for at in generator.choice(SIDE - 3, size=int(generator.integers(2, 7)), replace=False):
            field[int(at) : int(at) + int(generator.integers(1, 4))] = generator.uniform(0.4, 1)
    elif kind == 1:
        start, step = int(generator.integers(0, 4)), int(generator.integers(4, 10))
        for at in range(start, SIDE, step):
            field[:, at : at + int(generator.integers(1, 4))] = generator.uniform(0.4, 1)
    else:
        for inset in generator.choice(4, size=int(generator.integers(1, 3)), replace=False):
            level, width = generator.uniform(0.4, 1), int(generator.integers(1, 4))
            field[inset : SIDE - inset, inset : SIDE - inset] = level
            field[inset + width : SIDE - inset - width, inset + width : SIDE - inset - width] = 0
        if generator.random() < 0.5:
            field[SIDE // 2 - 1 : SIDE // 2 + 1] = field[:, SIDE // 2 - 1 : SIDE // 2 + 1] = generator.uniform(0.4, 1)
    return field


def blank(generator: np.random.Generator) -> Floats:
    """All paper, all ink, flat grey, or nearly so: a few specks, a little noise."""
    kind = int(generator.integers(5))
    level = (0.0, 1.0, generator.random(), 0.0, generator.random())[kind]
    field = np.full((SIDE, SIDE), level)
    if kind == 3:
        for row, column in generator.integers(0, SIDE - 1, (int(generator.integers(1, 7)), 2)):
            size = int(generator.integers(1, 3))
            field[row : row + size, column : column + size] = generator.uniform(0.2, 1)
    if kind == 4:
        field = field + generator.normal(0, generator.uniform(0.01, 0.06), field.shape)
    clipped: Floats = np.clip(field, 0, 1).astype(np.float32)
    return clipped


def clouds(side: int, coarsest: int, generator: np.random.Generator) -> Floats:
    """Fractal value noise, (side, side) float32 scaled to 0..1: octaves from `coarsest` cells to a side upwards."""
    total = np.zeros((side, side), np.float32)
    cells, weight = coarsest, 1.0
    while cells < side:
        octave = generator.random((cells, cells), np.float32)
        total += weight * np.asarray(Image.fromarray(octave).resize((side, side), Image.Resampling.BICUBIC))
        cells, weight = cells * 2, weight * 0.5
    total -= total.min()
    scaled: Floats = total / max(float(total.max()), 1e-6)
    return scaled


def _one_texture(generator: np.random.Generator) -> Floats:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    kind, angle = int(generator.integers(6)), generator.uniform(0, np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    if kind == 0:
        return np.asarray(0.5 + 0.5 * np.sin(along * generator.uniform(0.5, 2.5) + generator.uniform(0, 6)), np.float32)
    if kind == 1:
        across = -np.sin(angle) * x + np.cos(angle) * y
        cell = generator.uniform(2, 8)
        return np.asarray((np.floor(along / cell) + np.floor(across / cell)) % 2, np.float32)
    if kind == 2:
        return clouds(SIDE, int(generator.integers(2, 8)), generator)
    if kind == 3:
        field = clouds(SIDE, int(generator.integers(3, 9)), generator)
        return np.asarray(field > generator.uniform(0.35, 0.6), np.float32)
    if kind == 4:
        return np.asarray((along - along.min()) / np.ptp(along), np.float32)
    distance = np.hypot(x - generator.uniform(0, SIDE), y - generator.uniform(0, SIDE))
    return np.asarray(0.5 + 0.5 * np.cos(distance * generator.uniform(0.3, 1.8)), np.float32)


def _contrasted(field: Floats, generator: np.random.Generator) -> Floats:
    low, high = sorted(generator.random(2))
    if generator.random() < 0.6:
        low, high = 0.0, 1.0
    contrasted: Floats = np.clip(low + (high - low) * field, 0, 1).astype(np.float32)
    return contrasted


def _window(generator: np.random.Generator) -> Floats:
    window = np.zeros((SIDE, SIDE), np.float32)
    height, width = generator.integers(10, SIDE + 1, 2)
    top, left = int(generator.integers(0, SIDE - height + 1)), int(generator.integers(0, SIDE - width + 1))
    window[top : top + height, left : left + width] = 1
    return window


def _enlarged(coarse: Floats) -> Image.Image:
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
