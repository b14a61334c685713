"""What follows from the column network's frames: how likely a span is one digit, and which cuts are worth making."""

from itertools import combinations, groupby, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.image.segmentation.columns import BLANK, likely_cuts, single_digits
from tests.support.examples import examples

seeds = st.integers(0, 2**32 - 1)
Frames = npt.NDArray[np.float32]


def some_frames(count: int, classes: int, rng: np.random.Generator) -> Frames:
    """Frames that show the blank or one of a few digits."""
    frames = np.zeros((count, BLANK + 1), np.float32)
    frames[:, [*range(classes), BLANK]] = rng.dirichlet(np.full(classes + 1, 0.5), count)
    return frames


def string_of(shown: tuple[int, ...]) -> list[int]:
    """Digits that a way through the frames shows: runs of one digit are one."""
    return [digit for digit, _ in groupby(shown) if digit != BLANK]


@given(seeds, st.integers(1, 6))
@examples(40)
def test_a_single_digit_is_as_likely_as_all_ways_to_show_it(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    frames = some_frames(count, 2, rng)
    edges = np.sort(rng.choice(count + 1, min(3, count + 1), replace=False))
    (found,) = single_digits([frames], [edges])
    for (i, first), (j, last) in combinations(enumerate(edges.tolist()), 2):
        expected = np.zeros(10)
        for shown in product((0, 1, BLANK), repeat=last - first):
            if len(string := string_of(shown)) == 1:
                expected[string[0]] += np.prod([frames[first + at, digit] for at, digit in enumerate(shown)])
        for beyond in (first - 1, last):
            expected *= 1 - frames[beyond, :BLANK] if 0 <= beyond < count else 1
        assert found[i, j] == pytest.approx(expected, abs=1e-6)
    assert not found[np.tril_indices(len(edges))].any()


@given(seeds, st.integers(1, 60), st.integers(0, 12))
@examples(60)
def test_probabilities_of_any_frames_are_probabilities(seed: int, count: int, cuts: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.concatenate(([0], np.sort(rng.integers(0, count + 1, cuts)), [count]))
    (found,) = single_digits([some_frames(count, 10, rng)], [edges])
    assert (found >= 0).all()
    assert (found.sum(axis=2) <= 1.0001).all()
    kept = likely_cuts(found)
    assert kept.shape == edges.shape
    assert kept[0]
    assert kept[-1]


@given(seeds, st.lists(st.tuples(st.integers(1, 20), st.integers(0, 6)), max_size=6))
@examples(40)
def test_strips_are_worked_on_together_as_they_are_alone(seed: int, strips: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    frames = [some_frames(count, 10, rng) for count, _ in strips]
    edges = [np.concatenate(([0], np.sort(rng.integers(0, count + 1, cuts)), [count])) for count, cuts in strips]
    for together, some, here in zip(single_digits(frames, edges), frames, edges, strict=True):
        (alone,) = single_digits([some], [here])
        assert together == pytest.approx(alone, abs=1e-12)


def frames_of(text: str) -> Frames:
    """Frames that are sure of a text, "-" where nothing stands."""
    frames = np.full((len(text), BLANK + 1), 1e-5, np.float32)
    frames[np.arange(len(text)), [BLANK if shown == "-" else int(shown) for shown in text]] = 0.9999
    return frames


def test_a_piece_that_shows_one_digit_is_not_cut_and_of_two_the_cuts_between_them_stay() -> None:
    edges = np.array([0, 2, 4, 6, 9])
    assert likely_cuts(*single_digits([frames_of("---55----")], [edges])).tolist() == [True, False, False, False, True]
    assert likely_cuts(*single_digits([frames_of("-3-----7-")], [edges])).tolist() == [True, True, True, True, True]
    assert likely_cuts(*single_digits([frames_of("-33---7--")], [edges])).tolist() == [True, False, True, True, True]


def test_where_nothing_is_shown_every_cut_stays() -> None:
    nothing = np.eye(BLANK + 1, dtype=np.float32)[[BLANK] * 9]
    assert likely_cuts(*single_digits([nothing], [np.array([0, 3, 5, 9])])).all()
