"""The trials, the shuffle and the shifts of the experiment."""

import numpy as np

from experiments.shift_invariance.experiment import TRIALS, moved, shuffle
from training.data.arrays import SIDE


def test_each_network_learns_from_both_kinds_of_digits_from_three_seeds() -> None:
    assert len(set(TRIALS)) == len(TRIALS) == 2 * 2 * 3


def test_the_shuffle_is_one_and_loses_no_pixel() -> None:
    assert sorted(shuffle()) == list(range(SIDE * SIDE))
    assert np.array_equal(shuffle(), shuffle())


def test_digits_are_moved_and_paper_comes_in() -> None:
    pixels = np.zeros((1, SIDE, SIDE), np.uint8)
    pixels[0, 10, 12] = pixels[0, 0, 0] = 200
    for down, right in ((2, 0), (-2, 0), (0, 3), (0, -3), (1, -1), (0, 0)):
        there = moved(pixels.reshape(1, -1), down, right).reshape(SIDE, SIDE)
        assert there[10 + down, 12 + right] == 200
        assert there.sum() == (400 if down >= 0 and right >= 0 else 200)
