"""Every caller gets exactly one answer, its own: thousands of callers over real sockets, 32 at a time.

STORM_ROUNDS sets a number of rounds that a test run has no time for.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import Metric

from serving.config import Config
from serving.logging import configure_logging, get_logger
from serving.process.supervisor import Supervisor
from tests.support.engine import ENGINE
from tests.support.servers import StartServer
from tests.support.storm import KINDS_WITH_RAISING, OWN, USUAL_KINDS, Kind, StormResult, storm

ROUNDS = int(os.environ.get("STORM_ROUNDS", "25"))
LARGEST_BATCH = 16  # less than the largest call, which is split, and than what 32 callers bring
SHARES = [pytest.param(USUAL_KINDS, id="usual"), pytest.param(KINDS_WITH_RAISING, id="some make inference raise")]


def check(result: StormResult) -> None:
    print(result)  # pytest shows it when the test fails
    assert not result.faults, result.first_faults
    assert result.rounds == ROUNDS
    assert result.outcomes[Kind.PATIENT, OWN] > 0
    assert result.outcomes[Kind.STREAM, OWN] > 0
    assert result.outcomes[Kind.LEAVES, "CANCELLED"] > 0


async def until_all_calls_have_ended(collect: Callable[[], Awaitable[list[Metric]]]) -> None:
    """Returns when each call that began was counted as ended; those cancelled end after their caller has left."""
    totals: dict[str, float] = {"grpc_server_started_total": 1}
    async with asyncio.timeout(30):
        while totals["grpc_server_started_total"] != totals.get("grpc_server_handled_total"):
            await asyncio.sleep(0)
            totals = {}
            for sample in (sample for family in await collect() for sample in family.samples):
                totals[sample.name] = totals.get(sample.name, 0) + sample.value
    assert totals["mnist_queue_depth"] == 0
    assert totals["mnist_batch_size_count"] < totals["mnist_queue_wait_seconds_count"], "nobody shared a batch"


@pytest.mark.parametrize("kinds", SHARES)
async def test_with_inference_on_the_loop_every_caller_gets_exactly_one_answer_its_own(
    start_server: StartServer, kinds: tuple[Kind, ...]
) -> None:
    configure_logging("json", "info")
    async with start_server(max_batch_size=LARGEST_BATCH, inference_threads=1) as server:
        check(await storm(f"127.0.0.1:{server.grpc_port}", ROUNDS, kinds=kinds))
        await until_all_calls_have_ended(server.server.collect)
        assert server.server.images_in_flight == 0


async def test_with_inference_on_a_thread_every_caller_gets_exactly_one_answer_its_own(
    start_server: StartServer,
) -> None:
    async with start_server(max_batch_size=LARGEST_BATCH, inference_threads=2) as server:
        check(await storm(f"127.0.0.1:{server.grpc_port}", ROUNDS))
        await until_all_calls_have_ended(server.server.collect)
        assert server.server.images_in_flight == 0


@pytest.mark.parametrize("kinds", SHARES)
async def test_behind_two_workers_every_caller_gets_exactly_one_answer_its_own(
    tiny_repository: Path, kinds: tuple[Kind, ...]
) -> None:
    config = Config(
        model_repository=tiny_repository,
        device="cpu",
        grpc_engine=ENGINE,
        grpc_port=0,
        http_port=0,
        max_batch_size=LARGEST_BATCH,
    )
    async with Supervisor(config, get_logger(), workers=2) as supervisor:
        check(await storm(f"127.0.0.1:{supervisor.grpc_port}", ROUNDS, kinds=kinds))
        await until_all_calls_have_ended(supervisor.collect)
