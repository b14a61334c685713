"""Signs that are no digits: of each kind, in the size that is wanted."""

from pathlib import Path

import matplotlib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from training.columns.signs import signs, sized
from training.data.other_handwriting.omniglot import TRAINING_ALPHABETS, load_omniglot
from training.synthetic.fonts import Face

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
DRAW = signs([Face("dejavu-sans", "printed", 400, FONT.read_bytes())], load_omniglot().of(TRAINING_ALPHABETS))


@given(st.integers(0, 2**32), st.floats(10, 56))
@examples(60)
def test_a_sign_has_ink_of_about_the_height_that_is_wanted(seed: int, height: float) -> None:
    generator = np.random.default_rng(seed)
    ink = sized(DRAW(generator), height, generator)
    assert ink.dtype == np.float32
    assert ink.max() > 0.2
    assert 0 <= ink.min() <= ink.max() <= 1
    assert len(ink) < 1.6 * height + 0.4 * ink.shape[1] + 4
