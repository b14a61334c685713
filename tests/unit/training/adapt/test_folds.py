"""Whole groups are held out, and parts are of like sizes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.adapt.folds import FOLDS, folds_of

groups_of_pictures = st.lists(st.integers(0, 12), min_size=2, max_size=200).filter(lambda groups: len(set(groups)) > 1)


@given(groups_of_pictures, st.integers(0, 5))
def test_all_pictures_of_a_group_are_in_one_part_and_no_part_is_empty(groups: list[int], seed: int) -> None:
    parts = folds_of(np.array(groups), seed)
    assert len({(group, part) for group, part in zip(groups, parts.tolist(), strict=True)}) == len(set(groups))
    assert set(parts.tolist()) == set(range(min(FOLDS, len(set(groups)))))


@given(st.integers(10, 300), st.integers(0, 5))
def test_parts_of_single_pictures_differ_by_one_at_most(pictures: int, seed: int) -> None:
    sizes = np.bincount(folds_of(np.arange(pictures), seed))
    assert sizes.max() - sizes.min() <= 1


def test_another_seed_deals_otherwise_and_the_same_seed_alike() -> None:
    one, again, other = (folds_of(np.arange(50), seed) for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()
