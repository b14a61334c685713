"""Decoders: clients take turns by the cost of their work, what waits is bounded, and nothing is kept."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.decoders import CAPACITY, LARGE, UNIT_SECONDS, Decoders
from serving.errors import DecodersFullError, InvalidRequestError
from tests.support.examples import examples


class Stage:
    """Decoders whose threads are held, all at first; work tells in which order it ran."""

    def __init__(self, threads: int) -> None:
        self.decoders = Decoders(threads)
        self.order: list[str] = []
        self.gate = threading.Event()
        self.at_once = self.most_large = 0
        self._lock = threading.Lock()

    def work(self, name: str, *, is_large: bool = False) -> Callable[[], str]:
        def run() -> str:
            with self._lock:
                self.at_once += is_large
                self.most_large = max(self.most_large, self.at_once)
            assert self.gate.wait(30)
            with self._lock:
                self.at_once -= is_large
                self.order.append(name)
            return name

        return run


@asynccontextmanager
async def staged(threads: int = 1) -> AsyncIterator[Stage]:
    stage = Stage(threads)
    try:
        yield stage
    finally:
        stage.gate.set()
        stage.decoders.close()


async def test_a_client_that_sends_one_goes_before_the_second_of_another() -> None:
    async with staged() as stage:
        results = [stage.decoders.run("flood", 10, stage.work(f"flood {number}")) for number in range(50)]
        results += [stage.decoders.run(f"other {number}", 1, stage.work(f"other {number}")) for number in range(3)]
        stage.gate.set()
        await asyncio.gather(*results)
    assert stage.order[:4] == ["flood 0", "other 0", "other 1", "other 2"]


@examples(50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=1, max_size=60))
def test_clients_that_wait_get_equal_shares(jobs: list[tuple[str, int]]) -> None:
    """At any time, what two waiting clients got differs by no more than their dearest jobs."""

    async def run() -> list[str]:
        async with staged() as stage:
            results = [
                stage.decoders.run(client, cost, stage.work(f"{client} {cost}"))
                for client, cost in [("first", 1), *jobs]
            ]
            stage.gate.set()
            await asyncio.gather(*results)
            return stage.order

    left, got = Counter(client for client, _ in jobs), Counter[str]()
    dearest = {client: max(cost for other, cost in jobs if other == client) for client in left}
    for done in asyncio.run(run())[1:]:
        client, cost = done.split()
        got[client] += int(cost)
        left[client] -= 1
        for other in dearest:
            if left[client] and left[other]:
                assert got[client] - got[other] <= dearest[client] + dearest[other]


@pytest.mark.parametrize(("threads", "at_once"), [(1, 1), (2, 1), (4, 2)])
async def test_large_pictures_leave_threads_to_small_ones(threads: int, at_once: int) -> None:
    async with staged(threads) as stage:
        large = [stage.decoders.run("flood", LARGE, stage.work("large", is_large=True)) for _ in range(3 * threads)]
        small = stage.decoders.run("other", 1, lambda: "small")
        assert await small == "small"  # while all large ones are held
        stage.gate.set()
        await asyncio.gather(small, *large)
    assert stage.most_large == at_once


async def test_what_is_cancelled_before_its_turn_never_runs_and_costs_its_client_nothing() -> None:
    async with staged() as stage:
        held = stage.decoders.run("first", 1, stage.work("first"))
        dropped = [stage.decoders.run("a", 9, stage.work("dropped")) for _ in range(20)]
        for each in dropped:
            each.cancel()
        await asyncio.sleep(0)  # callbacks
        results = [stage.decoders.run(client, 1, stage.work(client)) for client in ("a", "b", "a", "b")]
        stage.gate.set()
        await asyncio.gather(held, *results)
    assert stage.order == ["first", "a", "b", "a", "b"]


@examples(100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "run", "cancel", "turn"]), st.integers(0, 200), st.sampled_from([1, 5, LARGE])
        )
    )
)
def test_whatever_is_cancelled_everything_else_ends_and_nothing_is_left(
    actions: list[tuple[str, int, int]],
) -> None:
    async def run() -> None:
        async with staged() as stage:
            stage.gate.set()
            results: list[asyncio.Future[str]] = []
            for action, number, cost in actions:
                if action == "run":
                    results.append(stage.decoders.run(f"client {number}", cost, stage.work("x")))
                elif action == "cancel" and results:
                    results[number % len(results)].cancel()
                else:
                    await asyncio.sleep(0)
            ended = await asyncio.wait_for(asyncio.gather(*results, return_exceptions=True), 30)
            assert all(each == "x" or isinstance(each, asyncio.CancelledError) for each in ended)
            assert await stage.decoders.run("last", 1, lambda: "last") == "last"
            assert not stage.decoders._short.clients
            assert not stage.decoders._long.clients

    errors: list[object] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await run()

    asyncio.run(watched())
    assert errors == []


async def test_errors_reach_their_caller_alone_and_the_thread_goes_on() -> None:
    async with staged() as stage:
        stage.gate.set()

        def fail() -> None:
            raise InvalidRequestError("no picture")

        failed = stage.decoders.run("a", 1, fail)
        assert await stage.decoders.run("a", 1, stage.work("next")) == "next"
        with pytest.raises(InvalidRequestError, match="no picture"):
            await failed


async def test_what_waits_is_bounded_in_all_and_for_each_client() -> None:
    async with staged() as stage:
        with (
            pytest.raises(InvalidRequestError, match="send them in several requests"),
            stage.decoders.admitted("a", 9999),
        ):
            pass
        with ExitStack() as held:
            cost, admitted = 100, 0

            def flood() -> None:
                nonlocal admitted
                while True:
                    held.enter_context(stage.decoders.admitted("flood", cost))
                    admitted += cost

            with pytest.raises(DecodersFullError) as refused:
                flood()
            assert admitted <= 2 * (CAPACITY - admitted)  # it leaves a third free
            assert refused.value.retry_after_seconds
            with stage.decoders.admitted("other", CAPACITY - admitted):
                assert stage.decoders.held == CAPACITY
        assert stage.decoders.held == 0


async def test_time_is_expected_by_turns_from_what_was_measured() -> None:
    async with staged() as stage:
        stage.gate.set()
        assert stage.decoders.expected_seconds("a", 10) == 0  # idle
        await stage.decoders.run("a", 1, stage.work("a"))
        with stage.decoders.admitted("flood", 1000):
            mine, floods = (stage.decoders.expected_seconds(client, 1) for client in ("a", "flood"))
        assert 0 < mine < floods / 100
        assert stage.decoders.expected_seconds("a", 10) == 0


async def test_clients_are_forgotten() -> None:
    async with staged() as stage:
        stage.gate.set()
        always = stage.decoders.run("always", 1, stage.work("always"))
        for number in range(1000):
            following = stage.decoders.run("always", 1, stage.work("always"))
            await stage.decoders.run(f"client {number}", 1, stage.work("x"))
            await always
            always = following
        assert len(stage.decoders._short.clients) < 200  # memory is not to be seen otherwise
        await always
        assert not stage.decoders._short.clients


async def test_a_client_that_still_waits_is_remembered() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with staged() as stage:
        large = [stage.decoders.run(client, LARGE, stage.work(client)) for client in ("first", "second")]
        for number in range(1000):  # on the other thread; virtual time goes on
            await stage.decoders.run(f"client {number}", 1, lambda: "small")
        large[1].cancel()
        stage.gate.set()
        await large[0]
    assert errors == []


async def test_large_pictures_of_a_client_do_not_delay_the_small_ones_of_another() -> None:
    async with staged() as stage:
        results = [stage.decoders.run("flood", 1, stage.work("flood")) for _ in range(100)]
        results += [stage.decoders.run("flood", LARGE, stage.work("large")) for _ in range(10)]
        results.append(stage.decoders.run("other", 1, stage.work("other")))
        stage.gate.set()
        await asyncio.gather(*results)
    assert [done for done in stage.order if done != "large"][:2] == ["flood", "other"]


async def test_work_that_took_longer_than_its_cost_is_paid_for() -> None:
    async with staged() as stage:
        slow = stage.decoders.run("slow", 1, lambda: stage.gate.wait(30))
        results = [stage.decoders.run(client, 1, stage.work(client)) for client in ("slow", *["other"] * 20)]
        began = time.monotonic()
        while time.monotonic() - began < 30 * UNIT_SECONDS:  # a unit is expected to take less
            await asyncio.sleep(0)
        stage.gate.set()
        await asyncio.gather(slow, *results)
    assert stage.order == [*["other"] * 20, "slow"]


async def test_pictures_that_were_cancelled_are_not_kept() -> None:
    async with staged() as stage:
        first = stage.decoders.run("a", 1, stage.work("first"))
        for _ in range(1000):
            stage.decoders.run("a", 1, stage.work("dropped")).cancel()
            await asyncio.sleep(0)
        assert len(stage.decoders._short.clients["a"].waiting) < 100
        last = stage.decoders.run("a", 1, stage.work("last"))
        stage.gate.set()
        await asyncio.gather(first, last)
    assert stage.order == ["first", "last"]


async def test_what_waits_at_the_end_is_cancelled() -> None:
    async with staged() as stage:
        running, waiting = (stage.decoders.run("a", 1, stage.work("x")) for _ in range(2))
        stage.decoders.close()
        stage.gate.set()
        assert await running == "x"
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_clients_that_are_always_new_do_not_starve_the_others() -> None:
    async with staged() as stage:
        stage.gate.set()
        results = [stage.decoders.run("steady", 5, stage.work(f"steady {number}")) for number in range(3)]
        new = stage.decoders.run("new", 1, stage.work("new"))
        for number in range(100):
            following = stage.decoders.run(f"new {number}", 1, stage.work("new"))
            await new
            new = following
        assert stage.order.count("new") >= 100
        assert [done for done in stage.order if done != "new"] == ["steady 0", "steady 1", "steady 2"]
        await asyncio.gather(new, *results)
