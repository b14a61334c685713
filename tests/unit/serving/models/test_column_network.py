"""The shipped column network: probabilities for each frame of any strips, and digits where digits are."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from serving.image.segmentation.columns import BLANK, single_digits
from serving.image.segmentation.cuts import without_slant
from serving.image.segmentation.strips import FRAME, HEIGHT, Strip, strip_of
from serving.models.column_network import ColumnNetwork
from tests.support.drawn_digits import DIGITS, LABELS
from tests.support.examples import examples

NETWORK = ColumnNetwork()


def strip_with(digit: npt.NDArray[np.uint8]) -> Strip:
    return strip_of(without_slant(digit)[0])


@given(st.integers(0, 2**32), st.lists(st.integers(1, 96), min_size=1, max_size=40))
@examples(30)
def test_any_strips_get_probabilities_for_each_frame(seed: int, frames: list[int]) -> None:
    rng = np.random.default_rng(seed)
    strips = [rng.integers(0, 256, (HEIGHT, FRAME * count), np.uint8) for count in frames]
    answers = NETWORK(strips)
    assert [answer.shape for answer in answers] == [(count, BLANK + 1) for count in frames]
    for answer in answers:
        assert answer.dtype == np.float32
        assert ((answer >= 0) & (answer <= 1)).all()
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_without_strips_it_says_nothing() -> None:
    assert NETWORK([]) == []


def test_most_single_digits_are_read_as_themselves() -> None:
    strips = [strip_with(digit) for digit in DIGITS]
    found = single_digits(NETWORK([strip.pixels for strip in strips]), [strip.edges for strip in strips])
    likeliest = np.array([singles[0, 1].argmax() for singles in found])
    assert np.mean(likeliest == LABELS) >= 0.97


def test_an_empty_strip_shows_no_digit() -> None:
    (answer,) = NETWORK([np.zeros((HEIGHT, 40), np.uint8)])
    assert (answer.argmax(axis=1) == BLANK).all()
