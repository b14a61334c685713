"""Pictures of signs that are no digits, for what is to read no digit in them."""

import numpy as np

from experiments.whole_numbers.pictures import Picture
from training.columns.signs import character, sized
from training.data.other_handwriting.omniglot import Characters
from training.synthetic.scribbles import scribble
from training.synthetic.shapes import shape

_SIGNS = 7  # first seed of their draws, which no other pictures have


def signs_picture(characters: Characters, seed: int) -> Picture:
    """One to three characters, scribbles or shapes, 20 to 90 pixels high, dark on white; of a seed always the same."""
    generator = np.random.default_rng([_SIGNS, seed])
    height = float(np.exp(generator.uniform(np.log(20), np.log(90))))
    inks = []
    for _ in range(int(generator.integers(1, 4))):
        kind = generator.random()
        drawn = (
            character(characters, generator) if kind < 0.7 else scribble(generator) if kind < 0.9 else shape(generator)
        )
        ink = sized(drawn, height * generator.uniform(0.7, 1.2), generator)
        inks.append(np.pad(ink, ((0, 0), (0, round(height * generator.uniform(0.15, 0.6))))))
    highest = max(map(len, inks))
    line = np.concatenate([np.pad(ink, ((highest - len(ink), 0), (0, 0))) for ink in inks], axis=1)
    coverage = np.pad(line, round(height / 2))
    grey = np.rint(255 - coverage * (255 - generator.uniform(0, 70))).astype(np.uint8)
    return Picture(grey, (), np.zeros((0, 4), np.int64), 0.0)
