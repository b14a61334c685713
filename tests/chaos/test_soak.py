"""Seconds of good and bad traffic: every outcome is permitted, and nothing is left over when the callers have gone.

`make soak` runs it for an hour and judges the memory's slope, which takes that long to show.
"""

import pytest

from tests.chaos.soak import soak

SECONDS = 10.0

pytestmark = pytest.mark.serial  # callers of seven kinds take all cores, and some have milliseconds


async def test_good_and_bad_traffic_gets_its_outcomes_and_leaves_nothing_behind() -> None:
    soaked = await soak(SECONDS, sample_seconds=1.0)
    print(soaked.outcomes, soaked.samples[0], soaked.samples[-1])  # pytest shows it when the test fails
    assert soaked.faults == []
    kinds = {kind.partition(":")[0] for kind in soaked.outcomes}
    assert kinds == {"digits", "pictures", "streams", "impatient", "leaving", "wrong", "damaged"}
    assert soaked.left_over() == []
