"""Changes with intervals, and the decision: better for the user, and for nobody else worse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.models.quality import Figure, what_is_worse
from training.adapt.judgement import Change, PopulationChange, judge


def change(same_right: int, same_wrong: int, fixed: int, broken: int, groups: list[int] | None = None) -> Change:
    before = np.repeat([True, False, False, True], [same_right, same_wrong, fixed, broken])
    after = np.repeat([True, False, True, False], [same_right, same_wrong, fixed, broken])
    return Change.of(before, after, None if groups is None else np.array(groups))


def population(made: Change, is_good: bool = True, decides: bool = True) -> PopulationChange:
    return PopulationChange("others", "accuracy" if is_good else "refused", is_good, decides, made)


def test_a_change_has_both_shares_and_an_interval_around_their_difference() -> None:
    made = change(80, 5, 12, 3)
    assert (made.before, made.after, made.pictures, made.groups) == (0.83, 0.92, 100, 100)
    assert made.low < 0.09 < made.high
    # Agresti and Min's adjusted Wald interval, by hand: (12.5 - 3.5) / 102 with the variance of 102 pictures.
    error = np.sqrt((12.5 + 3.5) - 9**2 / 102) / 102
    assert made.low == pytest.approx(9 / 102 - 1.959964 * error, abs=1e-6)


def test_the_interval_holds_the_truth_about_19_times_in_20() -> None:
    generator, held = np.random.default_rng(0), 0
    for _ in range(2000):
        before = generator.random(30) < 0.8
        after = np.where(generator.random(30) < 0.15, ~before, before)
        made = Change.of(before, after)
        held += made.low <= 0.15 * (0.2 - 0.8) <= made.high
    assert 0.93 <= held / 2000 <= 0.99


def test_the_interval_holds_where_pictures_of_a_person_change_together() -> None:
    generator, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        people = np.repeat(np.arange(6), 20)
        is_fixed = (generator.random(6) < 0.5)[people]
        before = np.zeros(120, bool)
        held += (made := Change.of(before, is_fixed, people)).low <= 0.5 <= made.high
        naive += (made := Change.of(before, is_fixed)).low <= 0.5 <= made.high
    assert held / 1000 > 0.93
    assert naive / 1000 < 0.7


def test_few_pictures_prove_little_and_all_right_is_not_certain() -> None:
    few, many = change(20, 4, 6, 0), change(2000, 400, 600, 0)
    assert few.high - few.low > 5 * (many.high - many.low)
    sure = change(10, 0, 0, 0)
    assert sure.low < 0 < sure.high


def test_nothing_speaks_against_a_version_that_is_better_and_loses_nothing() -> None:
    verdict = judge(
        change(70, 10, 20, 0), [population(change(4980, 15, 3, 2)), population(change(10, 4985, 3, 2), False)]
    )
    assert verdict.is_good
    assert verdict.objections == ()


@pytest.mark.parametrize(
    ("own", "words"),
    [(change(90, 10, 0, 0), "not read better"), (change(85, 5, 0, 10), "not read better"),
     (change(24, 4, 2, 0), "may be chance")],
)  # fmt: skip
def test_a_version_that_is_not_surely_better_is_not_good(own: Change, words: str) -> None:
    (objection,) = judge(own, []).objections
    assert words in objection


@pytest.mark.parametrize(
    ("other", "is_good"),
    [
        (population(change(4900, 20, 5, 75)), False),  # reads fewer of others' digits
        (population(change(4970, 20, 4, 6)), True),  # by chance
        (population(change(4900, 20, 75, 5)), True),  # reads more
        (population(change(10, 4900, 80, 10), is_good=False), False),  # refuses more digits
        (population(change(10, 4900, 10, 80), is_good=False), True),  # refuses fewer
        (population(change(4900, 20, 5, 75), decides=False), True),  # MNIST's test rows
    ],
)
def test_a_population_that_loses_beyond_noise_speaks_against_it(other: PopulationChange, is_good: bool) -> None:
    verdict = judge(change(70, 10, 20, 0), [other])
    assert verdict.is_good == is_good
    assert all(f"{other.measure} of others" in each for each in verdict.objections)


@given(
    st.tuples(st.integers(0, 5000), st.integers(0, 200), st.integers(0, 300), st.integers(0, 300)).filter(any),
    st.booleans(),
)
def test_what_is_not_worse_here_passes_the_gate_of_promotion(table: tuple[int, int, int, int], is_good: bool) -> None:
    other = population(change(*table), is_good)
    old, new = (
        {"a set": Figure(share, other.change.pictures, is_good, is_required=True)}
        for share in (other.change.before, other.change.after)
    )
    assert other.is_worse or what_is_worse(new, old, 0.0) == ""
    assert is_good or other.is_worse == bool(what_is_worse(new, old, 0.0))


def test_few_digits_that_are_lost_are_seen_by_picture_though_the_gate_would_pass_them() -> None:
    lost = change(4960, 20, 0, 20)
    assert population(lost).is_worse
    assert not population(lost, is_good=False).is_worse


def test_pictures_of_one_person_prove_nothing() -> None:
    before, after = np.zeros(20, bool), np.ones(20, bool)
    change = Change.of(before, after, np.zeros(20, np.int64))
    assert (change.before, change.after, change.low, change.high) == (0.0, 1.0, -1.0, 1.0)
    assert not change.is_better
