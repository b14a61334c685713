"""Pictures of signs that are no digits."""

import numpy as np

from experiments.whole_numbers.signs import signs_picture
from training.data.other_handwriting.omniglot import VALIDATION_ALPHABETS, load_omniglot

CHARACTERS = load_omniglot().of(VALIDATION_ALPHABETS)


def test_a_picture_depends_on_its_seed_alone_and_shows_dark_signs_on_white() -> None:
    pictures = [signs_picture(CHARACTERS, seed) for seed in range(12)]
    for seed, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture.grey, signs_picture(CHARACTERS, seed).grey)
        assert not picture.lines
        assert picture.grey[0].min() == 255
        assert picture.grey.min() < 200
    assert len({picture.grey.shape for picture in pictures}) > 6
