"""Several worker processes behind one port: shared, counted together, replaced, drained."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from structlog.testing import capture_logs

from mnist_digits import AsyncDigitClient
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.config import Config
from serving.errors import ConfigError, ModelRejectedError
from serving.logging import get_logger
from serving.process import recycling
from serving.process.supervisor import Supervisor
from serving.version_policy import parse_policy
from tests.support.engine import ENGINE
from tests.support.processes import until_ended
from tests.support.tiny_model import image_of, write_tiny_version

StartWorkers = Callable[..., AbstractAsyncContextManager[Supervisor]]


def request(digit: int) -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(digit))])


@pytest.fixture
def start_workers(tiny_repository: Path) -> StartWorkers:
    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Supervisor]:
        given: dict[str, Any] = {"model_repository": tiny_repository, "grpc_port": 0, "http_port": 0} | settings
        config = Config(device="cpu", grpc_engine=ENGINE, **given)
        async with Supervisor(config, get_logger(), workers=2) as supervisor:
            yield supervisor

    return start


async def classify(supervisor: Supervisor, digit: int) -> int:
    """Classifies over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.grpc_port}", options) as channel:
        response = await DigitClassifierStub(channel).Classify(request(digit), timeout=30, wait_for_ready=True)
    return int(response.predictions[0].digit)


async def metrics_of(supervisor: Supervisor) -> dict[str, float]:
    url = f"http://127.0.0.1:{supervisor.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        lines = (await response.text()).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


async def metrics_after_a_kill(supervisor: Supervisor) -> dict[str, float]:
    """As metrics_of, again where the kernel reset a connection that the killed worker had not accepted."""
    while True:
        with suppress(aiohttp.ClientConnectionError):
            return await metrics_of(supervisor)


async def until_replaced(supervisor: Supervisor, died: int) -> None:
    async with asyncio.timeout(60):
        while (await metrics_after_a_kill(supervisor))["mnist_workers"] < 2 or died in supervisor.worker_pids:
            pass  # each look is a call


async def test_workers_share_one_port_and_are_counted_together(start_workers: StartWorkers) -> None:
    async with start_workers() as supervisor:
        digits = [n % 10 for n in range(40)]
        assert await asyncio.gather(*(classify(supervisor, digit) for digit in digits)) == digits
        metrics = await metrics_of(supervisor)
        assert [metrics[f'mnist_predictions_total{{digit="{digit}"}}'] for digit in range(10)] == [4.0] * 10
        assert metrics["mnist_workers"] == 2
        assert metrics["mnist_ready"] == 1
        assert len(set(supervisor.worker_pids)) == 2


async def test_a_worker_that_dies_is_replaced_and_counted_and_what_it_counted_stays(
    start_workers: StartWorkers,
) -> None:
    async with start_workers() as supervisor:
        await asyncio.gather(*(classify(supervisor, 3) for _ in range(20)))
        await metrics_of(supervisor)
        died = supervisor.worker_pids[0]
        os.kill(died, signal.SIGKILL)
        await until_replaced(supervisor, died)
        assert await classify(supervisor, 7) == 7
        metrics = await metrics_of(supervisor)
        assert metrics["mnist_worker_restarts_total"] == 1
        assert metrics['mnist_predictions_total{digit="3"}'] == 20
        assert metrics["mnist_ready"] == 1


async def test_a_drain_answers_what_was_admitted(start_workers: StartWorkers) -> None:
    async with start_workers(max_queue_delay_seconds=1.0) as supervisor:  # it waits for others, in vain
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.grpc_port}")
        call = DigitClassifierStub(channel).Classify(request(5), timeout=30)
        started = 'grpc_server_started_total{grpc_method="Classify",grpc_service="mnist.v1.DigitClassifier",'
        async with asyncio.timeout(30):
            while (await metrics_of(supervisor))[started + 'grpc_type="unary"}'] < 1:
                pass  # each look is a call
        pids = supervisor.worker_pids
    assert (await call).predictions[0].digit == 5
    await asyncio.gather(*map(until_ended, pids))
    await channel.close()


async def test_metrics_are_those_of_all_workers_until_they_have_drained(start_workers: StartWorkers) -> None:
    started = 'grpc_server_started_total{grpc_method="Classify",grpc_service="mnist.v1.DigitClassifier",'
    async with start_workers(max_queue_delay_seconds=5.0) as supervisor, AsyncExitStack() as held:
        channel = await held.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.grpc_port}"))
        call = DigitClassifierStub(channel).Classify(request(5), timeout=30)
        async with asyncio.timeout(30):
            while (await metrics_of(supervisor))[started + 'grpc_type="unary"}'] < 1:
                pass  # each look is a call
        drain = asyncio.create_task(supervisor.__aexit__(None, None, None))
        async with asyncio.timeout(30):
            while (metrics := await metrics_of(supervisor))["mnist_ready"]:
                pass  # each look is a call
        assert metrics[started + 'grpc_type="unary"}'] == 1
        assert (await call).predictions[0].digit == 5
        await drain


async def test_worker_that_dies_during_a_scrape_is_not_counted_twice(start_workers: StartWorkers) -> None:
    async with start_workers() as supervisor:
        await asyncio.gather(*(classify(supervisor, 3) for _ in range(20)))
        assert (await metrics_of(supervisor))['mnist_predictions_total{digit="3"}'] == 20
        died = supervisor.worker_pids[0]
        os.kill(died, signal.SIGSTOP)  # so that it does not answer
        scrape = asyncio.create_task(supervisor.collect())
        await asyncio.sleep(0)  # it has sent its requests now
        os.kill(died, signal.SIGKILL)
        await until_ended(died)
        samples = [sample for family in await scrape for sample in family.samples]
        threes = [sample.value for sample in samples if sample.labels.get("digit") == "3"]
        assert threes == [20]


async def test_without_polling_a_replacement_serves_what_the_others_serve(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    config = Config(
        model_repository=tmp_path, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0, model_poll_seconds=0
    )
    async with Supervisor(config, get_logger(), workers=2) as supervisor:
        write_tiny_version(tmp_path, 2)
        died = supervisor.worker_pids[0]
        os.kill(died, signal.SIGKILL)
        await until_replaced(supervisor, died)
        infos = [sample for family in await supervisor.collect() for sample in family.samples]
        assert [info.labels["version"] for info in infos if info.name == "mnist_model_info"] == ["1"]


async def test_after_a_look_on_request_a_replacement_serves_what_it_found(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    write_tiny_version(tmp_path, 2)
    everything = parse_policy("all")
    config = Config(
        model_repository=tmp_path,
        model_version=everything,
        device="cpu",
        grpc_engine=ENGINE,
        grpc_port=0,
        http_port=0,
        model_poll_seconds=0,
    )
    async with Supervisor(config, get_logger(), workers=2) as supervisor:
        assert await versions_after_replacing_all(supervisor) == ["1", "2"]
        write_tiny_version(tmp_path, 3)
        await supervisor.reload_models()
        assert await versions_after_replacing_all(supervisor) == ["1", "2", "3"]


async def versions_after_replacing_all(supervisor: Supervisor) -> list[str]:
    for died in list(supervisor.worker_pids):
        os.kill(died, signal.SIGKILL)
        await until_replaced(supervisor, died)
    infos = [sample for family in await supervisor.collect() for sample in family.samples]
    return sorted(info.labels["version"] for info in infos if info.name == "mnist_model_info")


async def test_a_replacement_that_cannot_be_spawned_is_tried_again(
    start_workers: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as log:
        async with start_workers() as supervisor:
            died = supervisor.worker_pids[0]
            monkeypatch.setattr(sys, "executable", "/no/such/python")  # as when there is no memory for a process
            os.kill(died, signal.SIGKILL)
            async with asyncio.timeout(30):
                while "worker_not_replaced" not in [entry["event"] for entry in log]:
                    await metrics_after_a_kill(supervisor)
            monkeypatch.undo()
            await until_replaced(supervisor, died)


async def test_first_start_that_fails_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    config = Config(model_repository=tmp_path, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0)
    supervisor = Supervisor(config, get_logger(), workers=2)
    with pytest.raises(ModelRejectedError, match="there is no model mnist"):
        async with supervisor:
            pass
    await asyncio.gather(*map(until_ended, supervisor.worker_pids))


async def test_a_taken_port_is_refused_before_any_worker_starts(start_workers: StartWorkers) -> None:
    async with start_workers() as supervisor:
        with pytest.raises(ConfigError, match=r"grpc_port \d+ on 127\.0\.0\.1: .*in use; another: --grpc-port"):
            async with start_workers(grpc_port=supervisor.grpc_port):
                pass


async def test_a_worker_that_has_grown_is_replaced_while_the_others_answer(
    start_workers: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recycling, "LOOK_SECONDS", 0.01)
    async with start_workers(worker_memory_growth_bytes=1) as supervisor:
        before, calls = set(supervisor.worker_pids), 0
        url = f"127.0.0.1:{supervisor.grpc_port}"
        async with asyncio.timeout(120), AsyncDigitClient(url) as client:
            while before & set(supervisor.worker_pids):  # nothing scrapes meanwhile
                (answer,) = await client.classify([image_of(calls % 10)])
                assert answer.digit == calls % 10
                calls += 1
            await client.classify([image_of(0)])
            while (metrics := await metrics_of(supervisor))["mnist_worker_renewals_total"] < 2:
                pass  # each look is a call
        assert metrics["mnist_worker_restarts_total"] == 0
        counted = sum(value for name, value in metrics.items() if name.startswith("mnist_predictions_total"))
        assert counted == calls + 1


async def test_a_worker_that_cannot_be_renewed_goes_on(
    start_workers: StartWorkers, tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(tiny_repository, repository)
    async with start_workers(model_repository=repository, worker_memory_growth_bytes=1) as supervisor:
        before = supervisor.worker_pids
        shutil.rmtree(repository)
        with capture_logs() as lines:
            monkeypatch.setattr(recycling, "LOOK_SECONDS", 0.01)
            async with asyncio.timeout(120):
                while not any(line["event"] == "worker_not_replaced" for line in lines):
                    assert await classify(supervisor, 4) == 4
        assert supervisor.worker_pids == before


async def test_a_worker_that_cannot_even_be_spawned_for_a_renewal_is_tried_again(
    start_workers: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_workers(worker_memory_growth_bytes=1) as supervisor:
        before, python = set(supervisor.worker_pids), sys.executable
        with capture_logs() as lines:
            monkeypatch.setattr(sys, "executable", "/nowhere/python")
            monkeypatch.setattr(recycling, "LOOK_SECONDS", 0.01)
            async with asyncio.timeout(120):
                while sum(line["event"] == "worker_not_replaced" for line in lines) < 2:
                    assert await classify(supervisor, 4) == 4
                assert set(supervisor.worker_pids) == before
                monkeypatch.setattr(sys, "executable", python)
                while before & set(supervisor.worker_pids):
                    # The kernel resets what waits to be accepted by a worker that stops listening.
                    with suppress(aiohttp.ClientConnectionError):
                        await metrics_of(supervisor)


async def test_a_renewed_worker_serves_what_a_later_look_finds(
    start_workers: StartWorkers, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model_repository": repository, "model_poll_seconds": 0, "worker_memory_growth_bytes": 1}
    async with start_workers(**settings) as supervisor:
        before = set(supervisor.worker_pids)
        monkeypatch.setattr(recycling, "LOOK_SECONDS", 0.01)
        async with asyncio.timeout(120):
            while before & set(supervisor.worker_pids):
                await metrics_of(supervisor)
            monkeypatch.setattr(recycling, "LOOK_SECONDS", 60.0)
            write_tiny_version(repository, 2)
            await supervisor.reload_models()
            while (await metrics_of(supervisor)).get("mnist_workers") != 2 or await versions_of(supervisor) != {2}:
                pass  # each look is a call


async def versions_of(supervisor: Supervisor) -> set[int]:
    """Versions that answer, over connections enough to reach both workers."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    found = set()
    for _ in range(12):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.grpc_port}", options) as channel:
            with suppress(grpc.aio.AioRpcError):  # one that has lost its number drains
                answer = await DigitClassifierStub(channel).Classify(request(1), timeout=30, wait_for_ready=True)
                found.add(answer.model_version)
    return found
