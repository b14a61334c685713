"""Percentiles, and the titles of loads."""

import pytest

from benchmarks.load.measurement import (
    LOADS,
    MANY_CONNECTIONS,
    PICTURE_LOADS,
    PYTHON_CALLS,
    SHARED_PYTHON_CALLS,
    OpenLoop,
    percentile,
)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (99.9, 100), (100, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], percent) == value


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99.9) == 7.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_load_is_named_by_what_sets_it_apart() -> None:
    loads = [*LOADS.values(), *PICTURE_LOADS.values(), MANY_CONNECTIONS, PYTHON_CALLS, SHARED_PYTHON_CALLS]
    titles = {load.title for load in loads} | {OpenLoop(5000, 60).title}
    assert len(titles) == len(loads) + 1
    assert MANY_CONNECTIONS.title == "1 digit a request, 100 at once on 100 connections"
    assert PICTURE_LOADS["png-8"].title == "PNG of 200x200, 8 at once"
