import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.auth import rate_limits
from serving.auth.api_keys import ApiKey
from serving.auth.rate_limits import RateLimits, RateMemory
from serving.errors import DigitServiceError, InvalidRequestError, RateLimitedError


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


def refused(limits: RateLimits, whose: ApiKey, images: int, held: int) -> DigitServiceError | None:
    try:
        limits.charge(whose, images, held)
    except DigitServiceError as error:
        return error
    return None


@given(
    st.floats(0.001, 5000),
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 2), st.floats(0, 3)), max_size=20),
)
def test_no_call_takes_more_than_the_burst_or_locks_its_key_out_for_longer(
    rate: float, steps: list[tuple[int, int, float]]
) -> None:
    """The bound: a key is let in again after the time that its burst takes at its rate, whatever it sent before."""
    limits, now, slow = RateLimits(), Clock(), key(images_per_second=rate)
    burst = max(1, int(rate))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limits, "time", now)
        for images, held, seconds in steps:
            now.now += seconds
            refusal = refused(limits, slow, images, held)
            assert isinstance(refusal, InvalidRequestError) == (images + held > burst)
            if isinstance(refusal, RateLimitedError):
                assert (refusal.retry_after_seconds or 0) <= 3 * burst / rate
        now.now += 3 * burst / rate
        limits.charge(slow, burst)


def test_what_a_key_has_been_let_in_for_is_paid_for_afterwards(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key(), 10)
    limits.charge(key(), 10)  # a second ahead, and no more
    with pytest.raises(RateLimitedError, match=r"key a may ask for 10 images a second .* try again in 1\.0 s"):
        limits.charge(key(), 1)
    clock.now += 1.1
    limits.charge(key(), 1)


def test_a_call_beyond_the_burst_costs_nothing_and_says_what_the_burst_is(clock: Clock) -> None:
    limits = RateLimits()
    for _ in range(3):
        with pytest.raises(InvalidRequestError, match=r"key a .* at most 1 image .* 1024"):
            limits.charge(key(images_per_second=1), 1024)
    limits.charge(key(images_per_second=1), 1)
    assert clock.now == 1000.0


def test_a_rate_below_one_image_a_second_lets_single_images_through(clock: Clock) -> None:
    limits, slow = RateLimits(), key(images_per_second=0.1)
    limits.charge(slow, 1)
    clock.now += 10
    limits.charge(slow, 1)


def test_keys_do_not_pay_for_one_another_not_even_in_the_same_place(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key("a"), 10)
    limits.charge(key("b", index=1), 1)
    limits.charge(key("c", index=0), 1)
    assert clock.now == 1000.0


def test_without_a_rate_nothing_is_limited(clock: Clock) -> None:
    limits = RateLimits()
    for _ in range(100):
        limits.charge(key(images_per_second=0), 10_000)
    assert clock.now == 1000.0


def test_the_rest_of_a_request_is_paid_for_and_may_be_a_second_further_ahead(clock: Clock) -> None:
    limits = RateLimits()
    limits.charge(key(), 10)
    limits.charge(key(), 1)
    limits.charge(key(), 9, held=1)
    with pytest.raises(RateLimitedError, match=r"try again in 1\.0 s"):
        limits.charge(key(), 1)
    with pytest.raises(InvalidRequestError, match=r"at most 10 images .* 11"):
        limits.charge(key(), 10, held=1)
    limits.charge(key(), 9, held=1)
    with pytest.raises(RateLimitedError):  # of several at a time, which were all let through
        limits.charge(key(), 9, held=1)
    assert clock.now == 1000.0
