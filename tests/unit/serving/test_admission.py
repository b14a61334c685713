import asyncio

import pytest

from serving.admission import Admission
from serving.errors import OverloadedError


def test_beyond_capacity_is_refused_at_once_and_room_comes_back() -> None:
    admission = Admission(capacity=10)
    admission.admit(6)
    with pytest.raises(OverloadedError, match="holds 6 of at most 10 images and was asked for 5 more"):
        admission.admit(5)
    admission.admit(4)
    assert admission.held == 10
    admission.release(6)
    admission.release(4)
    assert admission.held == 0


async def test_waiting_until_empty_ends_with_the_last_release() -> None:
    admission = Admission(capacity=10)
    admission.admit(1)
    waiter = asyncio.create_task(admission.wait_until_empty())
    await asyncio.sleep(0)
    assert not waiter.done()
    admission.release(1)
    await waiter
