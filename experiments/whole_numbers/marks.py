"""What stands between the digits of a number and is none: commas, stops, minus signs, currency letters."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from training.data.arrays import Floats
from training.synthetic.drawing import Canvas, Points, arc, cropped

Mark = tuple[int, Floats, float]  # digits in front of it, ink, height above the baseline as a share of the digits'


def random_marks(length: int, height: float, generator: np.random.Generator) -> list[Mark]:
    """One to three marks at places where they are written, for a number of so many digits, `height` pixels high."""
    chosen = generator.permutation(list(_PLACED))[: int(generator.integers(1, 4))]
    return [_PLACED[str(name)](length, height, generator) for name in chosen]


def _comma(length: int, height: float, generator: np.random.Generator) -> Mark:
    stroke = [(0.6, 0.0), (0.55, 0.5), (0.2, 1.0)]
    return _inside(length, generator), _drawn([stroke], 0.3 * height, height, generator), -0.18


def _stop(length: int, height: float, generator: np.random.Generator) -> Mark:
    dot = arc((0.5, 0.5), (0.1, 0.1), 0, 1)
    return _inside(length, generator), _drawn([dot], 0.12 * height, height, generator), 0


def _minus(_: int, height: float, generator: np.random.Generator) -> Mark:
    return 0, _drawn([[(0.0, 0.5), (1.0, 0.5)]], 0.45 * height, height, generator), 0.42


def _slash_dash(length: int, height: float, generator: np.random.Generator) -> Mark:
    strokes = [[(0.0, 1.0), (0.4, 0.0)], [(0.5, 0.6), (1.1, 0.6)]]
    return length, _drawn(strokes, height, height, generator), 0


def _currency(_: int, height: float, generator: np.random.Generator) -> Mark:
    letter = _LETTERS[int(generator.integers(len(_LETTERS)))]
    return 0, _drawn(letter, height, height, generator), 0


def _inside(length: int, generator: np.random.Generator) -> int:
    return int(generator.integers(1, length)) if length > 1 else 1


def _drawn(strokes: Sequence[Points], size: float, height: float, generator: np.random.Generator) -> Floats:
    """Tight ink of strokes whose unit is `size` pixels, with the pen that wrote digits of this height."""
    moved = [[(x + generator.normal(0, 0.03), y + generator.normal(0, 0.03)) for x, y in stroke] for stroke in strokes]
    pen = generator.uniform(0.09, 0.13) * height / size
    longest = 1.3 + 2 * pen
    canvas = Canvas()
    for stroke in moved:
        canvas.line([((x + pen) / longest, (y + pen) / longest) for x, y in stroke], pen / longest)
    side = max(math.ceil(size * longest), 4)
    picture = Image.fromarray(np.rint(canvas.ink() * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BOX)
    return cropped(np.asarray(picture, np.float32) / np.float32(255))


_LETTERS: Sequence[Sequence[Points]] = (
    [[(0.6, 0.0), (0.0, 0.0), (0.0, 1.0), (0.6, 1.0)], [(0.0, 0.5), (0.5, 0.5)]],  # E
    [[(0.6, 0.0), (0.0, 0.0), (0.0, 1.0)], [(0.0, 0.5), (0.5, 0.5)]],  # F
    [[(0.0, 1.0), (0.0, 0.0), *arc((0.2, 0.25), (0.3, 0.25), -0.25, 0.25), (0.0, 0.5), (0.6, 1.0)]],  # R
    [[(0.0, 1.0), (0.0, 0.0), (0.35, 0.7), (0.7, 0.0), (0.7, 1.0)]],  # M
    [[(0.0, 0.0), (0.35, 0.5), (0.7, 0.0)], [(0.35, 0.5), (0.35, 1.0)], [(0.1, 0.55), (0.6, 0.55)]],  # yen
)
_PLACED: dict[str, Callable[[int, float, np.random.Generator], Mark]] = {
    "comma": _comma,
    "stop": _stop,
    "minus": _minus,
    "slash-dash": _slash_dash,
    "currency": _currency,
}
