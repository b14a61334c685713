"""Signs that are no digits, for the column network: letters, symbols, words, scribbles, shapes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from PIL import Image

from training.data.arrays import Floats
from training.data.other_handwriting.omniglot import Characters
from training.other_handwriting.sets import character_ink
from training.synthetic import text
from training.synthetic.drawing import slanted
from training.synthetic.fonts import Face
from training.synthetic.scribbles import scribble
from training.synthetic.shapes import shape
from training.synthetic.silhouettes import silhouette

Sign = Callable[[np.random.Generator], Floats]  # ink, (h, w) in 0..1, of any size


def signs(faces: Sequence[Face], characters: Characters) -> Sign:
    """What draws a random sign: text in `faces`, handwritten `characters`, and drawings."""
    shares: Mapping[Sign, float] = {
        partial(text.letter, faces): 0.34,
        partial(text.symbol, faces): 0.12,
        partial(text.word, faces): 0.1,
        partial(character, characters): 0.2,
        scribble: 0.16,
        shape: 0.06,
        silhouette: 0.02,
    }
    kinds, odds = list(shares), np.array(list(shares.values()))
    return lambda generator: kinds[int(generator.choice(len(kinds), p=odds))](generator)


def sized(ink: Floats, height: float, generator: np.random.Generator) -> Floats:
    """The sign so many pixels high, turned and slanted a little."""
    size = (max(round(ink.shape[1] * height / ink.shape[0]), 2), max(round(height), 4))
    picture = Image.fromarray(np.asarray(ink, np.float32)).resize(size, Image.Resampling.BOX)
    return slanted(np.asarray(picture, np.float32), generator.normal(0, 3), generator.normal(0, 0.1))


def character(characters: Characters, generator: np.random.Generator) -> Floats:
    """A random one of handwritten characters."""
    return character_ink(characters.ink[int(generator.integers(len(characters.ink)))], generator)
