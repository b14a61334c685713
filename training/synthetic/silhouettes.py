"""Filled bodies with a grey texture: garments, animals, blobs, drawn from polygons and not taken from a data set."""

from collections.abc import Callable

import numpy as np

from training.data.arrays import Floats
from training.synthetic.drawing import Canvas, arc, cropped
from training.synthetic.textures import clouds

Outline = list[tuple[float, float]]


def silhouette(generator: np.random.Generator) -> Floats:
    """A body, cropped tightly, darker and lighter over its area: (h, w) float32 in 0..1."""
    canvas = Canvas()
    BODIES[int(generator.integers(len(BODIES)))](canvas, generator)
    body = canvas.ink()
    if generator.random() < 0.5:
        body = body[:, ::-1]
    return cropped(body * _texture(body.shape[0], generator))


def _texture(side: int, generator: np.random.Generator) -> Floats:
    """Grey levels of cloth or fur: blotches, stripes, or plain, never so pale that the body vanishes."""
    levels = np.full((side, side), generator.uniform(0.45, 1), np.float32)
    if generator.random() < 0.7:
        levels = levels * (1 - generator.uniform(0.1, 0.6) * clouds(side, int(generator.integers(2, 13)), generator))
    if generator.random() < 0.35:
        phase = np.arange(side) * generator.uniform(0.2, 1.2)
        stripes = np.where(np.sin(phase) > generator.uniform(-0.5, 0.5), 1.0, generator.uniform(0.3, 0.8))
        levels = levels * (stripes[:, None] if generator.random() < 0.6 else stripes[None, :])
    return np.clip(levels, 0.12, 1).astype(np.float32)


def _shirt(canvas: Canvas, generator: np.random.Generator) -> None:
    """A trunk with sleeves, short to long, straight or spread."""
    shoulder, waist = generator.uniform(0.2, 0.28), generator.uniform(0.18, 0.28)
    hem, reach, drop = generator.uniform(0.8, 0.96), generator.uniform(0.12, 0.24), generator.uniform(0.12, 0.7)
    cuff, neck = generator.uniform(0.08, 0.13), generator.uniform(0.05, 0.12)
    half = [
        (neck, 0.06), (shoulder, 0.09), (shoulder + reach, 0.09 + drop), (shoulder + reach - cuff, 0.13 + drop),
        (shoulder - 0.02, 0.32), (waist, hem),
    ]  # fmt: skip
    canvas.polygon(_mirrored(half, generator))
    canvas.polygon(_mirrored([(neck, 0.05), (0.01, generator.uniform(0.08, 0.25))], generator), level=0)
    if generator.random() < 0.35:  # buttoned: an open line down the middle
        canvas.polygon([(0.49, 0.1), (0.51, 0.1), (0.51, hem), (0.49, hem)], level=generator.uniform(0, 0.6))


def _trousers(canvas: Canvas, generator: np.random.Generator) -> None:
    waist, ankle = generator.uniform(0.14, 0.24), generator.uniform(0.16, 0.3)
    crotch, width = generator.uniform(0.25, 0.4), generator.uniform(0.1, 0.16)
    half = [(waist, 0.04), (waist + 0.04, crotch), (ankle, 0.96), (max(ankle - width, 0.02), 0.96), (0.005, crotch)]
    canvas.polygon(_mirrored(half, generator))


def _dress(canvas: Canvas, generator: np.random.Generator) -> None:
    shoulder, waist, hem = generator.uniform(0.1, 0.18), generator.uniform(0.07, 0.14), generator.uniform(0.14, 0.34)
    half = [(shoulder * 0.5, 0.08), (shoulder, 0.04), (shoulder, 0.2), (waist, 0.4), (hem, 0.96)]
    canvas.polygon(_mirrored(half, generator))


def _shoe(canvas: Canvas, generator: np.random.Generator) -> None:
    """Low shoe to boot, with a heel and sometimes straps cut out."""
    shaft, top = generator.uniform(0.28, 0.4), generator.uniform(0.12, 0.52)
    toe = generator.uniform(0.5, 0.64)
    canvas.polygon(
        [(0.06, top), (shaft, top), (shaft + 0.05, 0.5), (0.75, toe), (0.95, toe + 0.1), (0.95, 0.8), (0.05, 0.8)]
    )
    heel = generator.uniform(0, 0.12)
    canvas.polygon([(0.05, 0.78), (0.25, 0.78), (0.2, 0.8 + heel), (0.07, 0.8 + heel)])
    for _ in range(int(generator.integers(0, 4))):
        x = generator.uniform(0.3, 0.7)
        canvas.polygon([(x, 0.4), (x + 0.05, 0.4), (x + 0.1, 0.7), (x + 0.05, 0.7)], level=0)


def _bag(canvas: Canvas, generator: np.random.Generator) -> None:
    top, width = generator.uniform(0.3, 0.5), generator.uniform(0.34, 0.46)
    narrow = width * generator.uniform(0.75, 1.05)
    canvas.polygon([(0.5 - narrow, top), (0.5 + narrow, top), (0.5 + width, 0.92), (0.5 - width, 0.92)])
    canvas.line(
        arc((0.5, top), (narrow * generator.uniform(0.4, 0.9), top - 0.06), 0.5, 1), generator.uniform(0.02, 0.06)
    )


def _animal(canvas: Canvas, generator: np.random.Generator) -> None:
    """A body on four legs with head, ear and tail."""
    length, depth = generator.uniform(0.22, 0.32), generator.uniform(0.1, 0.18)
    canvas.polygon(arc((0.45, 0.5), (length, depth), 0, 1))
    head = (0.45 + length + generator.uniform(0, 0.06), generator.uniform(0.26, 0.42))
    canvas.polygon(arc(head, (generator.uniform(0.08, 0.13), generator.uniform(0.07, 0.11)), 0, 1))
    canvas.line([(0.45 + length * 0.7, 0.5), head], generator.uniform(0.07, 0.14))
    canvas.line([head, (head[0] - 0.06, head[1] - generator.uniform(0.1, 0.2))], 0.04)
    for place in (-0.8, -0.55, 0.5, 0.75):
        x = 0.45 + length * place
        canvas.line(
            [(x, 0.55), (x + generator.normal(0, 0.03), generator.uniform(0.78, 0.92))], generator.uniform(0.03, 0.07)
        )
    canvas.line([(0.45 - length * 0.9, 0.48), (0.1, generator.uniform(0.2, 0.6))], 0.03)


def _blob(canvas: Canvas, generator: np.random.Generator) -> None:
    """A closed outline whose radius wanders: one to six lobes, with deep bays."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.full(72, 0.3)
    for lobes in range(1, 7):
        radius += 0.16 / lobes * generator.normal() * np.cos(lobes * angle + generator.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.05, 0.47)
    canvas.polygon(
        [(0.5 + float(r * np.cos(a)), 0.5 + float(r * np.sin(a))) for r, a in zip(radius, angle, strict=True)]
    )


def _mirrored(half: Outline, generator: np.random.Generator) -> Outline:
    """The right half, given from the top down as (distance from the middle, y), with its mirror image."""
    bent = [(x + generator.normal(0, 0.008), y + generator.normal(0, 0.008)) for x, y in half]
    return [(0.5 + x, y) for x, y in bent] + [(0.5 - x, y) for x, y in reversed(bent)]


BODIES: tuple[Callable[[Canvas, np.random.Generator], None], ...] = (
    _shirt, _shirt, _trousers, _dress, _shoe, _shoe, _bag, _animal, _blob, _blob,
)  # fmt: skip
