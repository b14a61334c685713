"""Growth is what lasts: a large picture is none."""

import os

from serving.process.recycling import LOOKS, MemoryGrowth, held_bytes


def test_what_stays_above_the_allowed_is_too_much_and_a_peak_is_not() -> None:
    growth = MemoryGrowth(100)
    assert not growth.is_too_much(1000)
    assert not any(growth.is_too_much(1101) for _ in range(LOOKS - 1))
    assert not growth.is_too_much(1100)
    assert not any(growth.is_too_much(9000) for _ in range(LOOKS - 1))
    assert growth.is_too_much(9000)


def test_with_nothing_allowed_for_anything_is() -> None:
    growth = MemoryGrowth(0)
    assert not any(growth.is_too_much(held) for held in range(1, 10 * LOOKS))


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert held_bytes(os.getpid()) > 2**20
    assert held_bytes(2**30) == 0
