"""A canary answers its share of the callers, and returns to the served version by itself when it is worse."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from protos.inference import open_inference_pb2
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from serving.commands.versions import versions
from serving.config import Config
from serving.logging import get_logger
from serving.options import run_command
from serving.process.standalone import Standalone
from serving.process.supervisor import Supervisor
from serving.version_policy import CanaryBounds, Candidate
from tests.integration.serving.auth.test_api_keys import MakeKey, file, make_key  # noqa: F401  # fixtures
from tests.integration.serving.process.test_shadow import images, stub_of
from tests.integration.serving.process.test_workers import until_replaced
from tests.support.candidates import tolerant_graph, write_moved_version
from tests.support.changing_repository import POLL, changed_after_it_was_described, metric, model, until
from tests.support.engine import ENGINE
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of, image_that_fails, rewrite_metadata, slow_graph, write_tiny_version

ALL = Candidate(2, 1.0)
SOON = CanaryBounds(calls=40)
THREE = images(image_of(3))


async def version_of(service: Standalone | Supervisor, request: digits_pb2.ClassifyRequest = THREE) -> int:
    """Version that answers a call over a connection of its own."""
    async with stub_of(service) as stub:
        return int((await stub.Classify(request, timeout=30)).model_version)


async def call_until(
    service: Standalone | Supervisor, holds: Callable[[], Any], request: digits_pb2.ClassifyRequest = THREE
) -> None:
    """Calls both versions until `holds` returns true; calls may fail."""
    of_version_1 = digits_pb2.ClassifyRequest(images=request.images, model_version=1)
    async with asyncio.timeout(60), stub_of(service) as stub:
        while not await holds():
            for _ in range(10):
                calls = [stub.Classify(each, timeout=30) for each in (request, of_version_1)]
                await asyncio.gather(*calls, return_exceptions=True)


async def test_it_answers_all_that_name_no_version_until_it_is_promoted_or_rolled_back(
    start_server: StartServer, repository: Path
) -> None:
    write_moved_version(repository, 2)
    async with start_server(model_repository=repository, canary=ALL, **POLL) as server, stub_of(server) as stub:
        assert (await model(server)).version == 1
        response = await stub.Classify(THREE, timeout=30)
        assert (response.model_version, response.predictions[0].digit) == (2, 4)
        named = await stub.Classify(digits_pb2.ClassifyRequest(images=THREE.images, model_version=1), timeout=30)
        assert (named.model_version, named.predictions[0].digit) == (1, 3)
        assert await metric(server, 'mnist_canary_share{version="2"} 1.0')
        assert await metric(server, 'mnist_canary_images_total{outcome="answered",version="2"} 1.0')
        assert run_command(versions, ["--model-repository", str(repository), "pin", "2"]) == 0
        await until(server, lambda description: description.version == 2)
        assert await metric(server, 'mnist_canary_share{version="2"} 0.0')
        assert await version_of(server) == 2
        assert run_command(versions, ["--model-repository", str(repository), "rollback"]) == 0
        await until(server, lambda description: description.version == 1)


async def test_it_answers_by_the_other_contract_too(start_server: StartServer, repository: Path) -> None:
    write_moved_version(repository, 2)
    tensor = open_inference_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])
    request = open_inference_pb2.ModelInferRequest(
        model_name="mnist", inputs=[tensor], raw_input_contents=[image_of(3)]
    )
    async with (
        start_server(model_repository=repository, canary=ALL) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        assert (await GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)).model_version == "2"


async def test_each_key_stays_with_its_version(
    start_server: StartServer,
    repository: Path,
    make_key: MakeKey,  # noqa: F811
    file: Path,  # noqa: F811
) -> None:
    write_moved_version(repository, 2)
    keys = {name: make_key(name) for name in "abcdefgh"}
    async with start_server(model_repository=repository, canary=Candidate(2, 0.5), api_keys=file) as server:
        answered: dict[str, set[int]] = {name: set() for name in keys}
        for _ in range(3):
            for name, key in keys.items():
                async with stub_of(server) as stub:
                    response = await stub.Classify(THREE, timeout=30, metadata=[("x-api-key", key)])
                answered[name].add(response.model_version)
    assert all(len(each) == 1 for each in answered.values())
    assert set.union(*answered.values()) == {1, 2}


async def test_one_that_fails_returns_and_the_served_version_answers(start_server: StartServer, tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1, tolerant_graph())
    write_tiny_version(tmp_path, 2)
    settings = {"model_repository": tmp_path, "canary": ALL, "canary_bounds": SOON}
    with capture_logs() as log:
        async with start_server(**settings, **POLL) as server:
            assert await version_of(server) == 2

            async def has_returned() -> bool:
                return await metric(server, 'mnist_canary_returns_total{reason="failures",version="2"} 1.0')

            await call_until(server, has_returned, images(image_that_fails()))
            assert await version_of(server, images(image_that_fails())) == 1
            assert await metric(server, 'mnist_canary_share{version="2"} 0.0')
            await until(server, lambda description: len(description.refused_versions) == 1)  # waits for a pin
            assert await version_of(server) == 1
    (line,) = [each for each in log if each["event"] == "canary_returned"]
    assert (line["reason"], line["canary"]) == ("failures", 2)


@pytest.mark.parametrize("reason", ["slowness", "refusals"])
async def test_one_that_is_slow_or_refuses_much_returns(
    start_server: StartServer, repository: Path, reason: str
) -> None:
    folder = write_tiny_version(repository, 2, slow_graph() if reason == "slowness" else None)
    rewrite_metadata(folder, 2, novelty_threshold=0.5 if reason == "refusals" else 0.9)
    rewrite_metadata(repository / "mnist" / "1", novelty_threshold=0.9)
    # Without the gate of speed, which would refuse it at once.
    settings = {"model_repository": repository, "canary": ALL, "canary_bounds": SOON, "max_slowdown": 0.0}
    unsure = images(b"\xff" * 3 + bytes(781))  # novelty 2/3
    async with start_server(**settings) as server:

        async def has_returned() -> bool:
            return await metric(server, f'mnist_canary_returns_total{{reason="{reason}",version="2"}} 1.0')

        await call_until(server, has_returned, unsure)
        assert await version_of(server) == 1


async def test_one_that_is_much_slower_is_refused_at_the_start(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2, slow_graph())
    async with start_server(model_repository=repository, canary=ALL) as server:
        await until(server, lambda description: [each.check for each in description.refused_versions] == ["slow"])
        assert await version_of(server) == 1


async def test_one_that_is_as_good_goes_on(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2)
    # On a busy machine equal models may take several times as long as one another.
    bounds = CanaryBounds(calls=40, slowdown=0.0)
    async with start_server(model_repository=repository, canary=ALL, canary_bounds=bounds) as server:

        async def has_answered_many() -> bool:
            return await metric(server, 'mnist_canary_images_total{outcome="answered",version="2"} 400.0')

        async with asyncio.timeout(60), stub_of(server) as stub:
            while not await has_answered_many():
                for request in (THREE, digits_pb2.ClassifyRequest(images=THREE.images, model_version=1)):
                    await asyncio.gather(*[stub.Classify(request, timeout=30) for _ in range(50)])
        assert await version_of(server) == 2


async def test_one_that_fails_a_check_answers_nobody(start_server: StartServer, repository: Path) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository, canary=ALL, **POLL) as server:
        (refused,) = (await model(server)).refused_versions
        assert (refused.version, refused.check) == (2, "checksum")
        assert await version_of(server) == 1


@pytest.fixture
def workers(tmp_path: Path) -> Config:
    """Settings of a service whose canary fails for some images, and which has not returned."""
    write_tiny_version(tmp_path, 1, tolerant_graph())
    write_tiny_version(tmp_path, 2)
    return Config(
        model_repository=tmp_path, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0, canary=ALL,
        canary_bounds=SOON,
    )  # fmt: skip


async def all_answer(service: Supervisor, version: int) -> None:
    """Returns when calls over forty connections, which the kernel spreads, are all answered by this version.

    Fewer would all come to one of two workers by chance in one of the many looks.
    """
    async with asyncio.timeout(30):
        while {await version_of(service) for _ in range(40)} != {version}:
            pass  # each look is forty calls


async def test_a_return_that_one_worker_finds_is_for_all(workers: Config) -> None:
    async with Supervisor(workers, get_logger(), workers=2) as service:
        await all_answer(service, 2)
        failing = images(image_that_fails())
        async with asyncio.timeout(60), stub_of(service) as stub:
            answered = 0
            while not answered:  # over one connection, so that one worker alone sees failures
                with suppress(grpc.aio.AioRpcError):
                    answered = (await stub.Classify(failing, timeout=30)).model_version
        assert answered == 1
        await all_answer(service, 1)


async def test_a_worker_that_dies_ends_the_canary_also_for_the_one_that_replaces_it(workers: Config) -> None:
    async with Supervisor(workers, get_logger(), workers=2) as service:
        await all_answer(service, 2)
        before = service.worker_pids
        os.kill(before[0], signal.SIGKILL)
        await until_replaced(service, before[0])
        await all_answer(service, 1)
        assert await metric(service, 'mnist_canary_returns_total{reason="worker_died",version="2"} 1.0')


async def test_one_that_ends_while_a_worker_starts_ends_in_that_worker_too(
    workers: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, spawn = Supervisor(workers, get_logger(), workers=1), asyncio.create_subprocess_exec

    async def spawn_while_it_ends(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await spawn(*arguments, **options)
        await service.end_canary()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn_while_it_ends)
    async with service:
        assert await version_of(service) == 1
