import pytest

from serving.auth import rate_limits
from serving.auth.api_keys import ApiKey
from serving.auth.rate_limits import RateLimits, RateMemory
from serving.errors import RateLimitedError


class Clock:
    """Time that a test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limits, "time", clock)
    return clock


def key(name: str = "a", images_per_second: float = 10.0, index: int = 0) -> ApiKey:
    return ApiKey(name, name.encode().ljust(32, b"\0"), frozenset({"classify"}), images_per_second, index)


def taken(limits: RateLimits, whose: ApiKey, seconds: float, clock: Clock) -> int:
    """Images, one at a time and as many as there may be, in steps of 10 ms."""
    images = 0
    for _ in range(round(seconds * 100)):
        try:
            while True:
                limits.charge(whose, 1)
                images += 1
        except RateLimitedError:
            clock.now += 0.01
    return images


def test_over_time_a_key_gets_its_rate_and_a_second_ahead(clock: Clock) -> None:
    assert taken(RateLimits(), key(), 60, clock) == pytest.approx(610, abs=2)


def test_workers_with_the_same_memory_share_the_rate(clock: Clock) -> None:
    memory = RateMemory()
    one, other = RateLimits(memory.descriptor), RateLimits(memory.descriptor)
    images = sum(taken(limits, key(), 0.5, clock) for limits in (one, other) * 30)
    assert images == pytest.approx(310, abs=2)
    memory.close()


def test_one_call_larger_than_a_second_is_let_through_and_paid_for_afterwards(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key(), 100)
    with pytest.raises(RateLimitedError, match=r"key a may ask for 10 images a second .* try again in 9\.0 s"):
        limits.charge(key(), 1)
    clock.now += 9.1
    limits.charge(key(), 1)


def test_keys_do_not_pay_for_one_another_not_even_in_the_same_place(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key("a"), 1000)
    limits.charge(key("b", index=1), 1)
    limits.charge(key("c", index=0), 1)
    assert clock.now == 1000.0


def test_without_a_rate_nothing_is_limited(clock: Clock) -> None:
    limits = RateLimits()
    for _ in range(100):
        limits.charge(key(images_per_second=0), 10_000)
    assert clock.now == 1000.0


def test_the_rest_of_a_request_is_paid_for_and_never_refused(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key(), 100)
    limits.charge(key(), 100, is_rest=True)
    with pytest.raises(RateLimitedError, match=r"try again in 19\.0 s"):
        limits.charge(key(), 1)
    assert clock.now == 1000.0
