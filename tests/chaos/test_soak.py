"""Two minutes of good and bad traffic: nothing that the server holds grows, and nobody is told what is not so.

`make soak` does it for an hour, and judges the memory's slope.
"""

from statistics import mean

from tests.chaos.soak import soak

SECONDS = 120.0
SETTLED_SECONDS = 30.0  # by when buffers have grown to their size
MOST_MEBIBYTES_MORE = 16.0  # of all processes: it goes up and down by a dozen; an hour can tell less


async def test_in_two_minutes_of_good_and_bad_traffic_nothing_grows_and_nobody_is_misled() -> None:
    soaked = await soak(SECONDS, sample_seconds=5.0)
    print(soaked.outcomes, soaked.samples[0], soaked.samples[-1])  # pytest shows it when the test fails
    assert soaked.faults == []
    kinds = {kind.partition(":")[0] for kind in soaked.outcomes}
    assert kinds == {"digits", "pictures", "streams", "impatient", "leaving", "wrong", "damaged"}
    assert soaked.left_over() == []
    busy = [sample for sample in soaked.samples[:-1] if sample.seconds > SETTLED_SECONDS]
    first, last = busy[: len(busy) // 3], busy[-(len(busy) // 3) :]
    more = mean(each.resident_mebibytes for each in last) - mean(each.resident_mebibytes for each in first)
    assert more < MOST_MEBIBYTES_MORE
