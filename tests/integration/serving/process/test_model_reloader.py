"""Served versions follow the model's folder, under load."""

import asyncio
import shutil
from pathlib import Path

import grpc
import pytest

from mnist_digits import AsyncDigitClient
from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serving.commands.versions import versions
from serving.options import run_command
from tests.chaos.service_process import running
from tests.support.changing_repository import (
    CALLERS,
    POLL,
    callers,
    changed_after_it_was_described,
    model,
    until,
)
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of, write_tiny_version


async def test_new_versions_are_swapped_in_under_load_with_no_failed_call(
    start_server: StartServer, repository: Path
) -> None:
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as calls:
        for version in (2, 3, 4):
            write_tiny_version(repository, version)
            await until(server, lambda description, version=version: description.version == version)  # type: ignore[misc]  # bound now
    assert calls.failures == []
    assert calls.answered > CALLERS


async def test_pictures_that_are_read_during_a_swap_are_answered_by_the_new_version(
    start_server: StartServer, repository: Path
) -> None:
    samples = sorted((Path(__file__).parents[4] / "samples").glob("*.png"))
    async with (
        start_server(model_repository=repository, **POLL) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}", coalesce=False) as client,
    ):
        write_tiny_version(repository, 2)
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while (await model(server)).version != 2 or not seen:
                answers = await asyncio.gather(*(client.classify([path]) for path in samples[:4]))
                seen.add(len(answers))
        assert seen == {4}


async def test_one_command_rolls_back_and_another_forward_under_load(
    start_server: StartServer, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_version(repository, 2)
    (repository / "mnist" / "config.pbtxt").write_text('name: "mnist"  # ours\nmax_batch_size: 256\n')
    command = ["--model-repository", str(repository)]
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as calls:
        assert (await model(server)).version == 2
        assert run_command(versions, [*command, "rollback"]) == 0
        await until(server, lambda description: description.version == 1)
        assert run_command(versions, [*command, "unpin"]) == 0
        await until(server, lambda description: description.version == 2)
    assert calls.failures == []
    printed = [line for line in capsys.readouterr().out.splitlines() if line[0] in "12" and "[" not in line]
    assert printed == ["1  to be served", "2", "1", "2  to be served"]
    assert (repository / "mnist" / "config.pbtxt").read_text() == 'name: "mnist"  # ours\nmax_batch_size: 256\n'


async def test_policy_all_serves_every_version_at_once(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2)
    (repository / "mnist" / "config.pbtxt").write_text("version_policy { all { } }")
    async with start_server(model_repository=repository, **POLL) as server:
        assert list((await model(server)).served_versions) == [1, 2]
        async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
            for version in (1, 2, 0):
                (answer,) = await client.classify([image_of(3)], model_version=version)
                assert answer.digit == 3
        write_tiny_version(repository, 3)
        description = await until(server, lambda description: description.version == 3)
        assert list(description.served_versions) == [1, 2, 3]


async def test_the_admin_rpc_has_the_server_look_at_once_and_says_what_it_refused(
    start_server: StartServer, repository: Path
) -> None:
    async with (
        start_server(model_repository=repository, model_poll_seconds=0) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        load = protocol.RepositoryModelLoadRequest(model_name="mnist")
        write_tiny_version(repository, 2)
        await stub.RepositoryModelLoad(load)
        assert (await model(server)).version == 2
        changed_after_it_was_described(write_tiny_version(repository, 3))
        with pytest.raises(grpc.aio.AioRpcError, match=r"says .*: the file was changed") as raised:
            await stub.RepositoryModelLoad(load)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        index = await stub.RepositoryIndex(protocol.RepositoryIndexRequest())
        assert [(each.version, each.state) for each in index.models] == [("2", "READY"), ("3", "UNAVAILABLE")]


async def test_the_admin_rpc_can_be_closed(start_server: StartServer, repository: Path) -> None:
    async with (
        start_server(model_repository=repository, admin=False) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await GRPCInferenceServiceStub(channel).RepositoryModelLoad(protocol.RepositoryModelLoadRequest())
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_wanted_versions_that_are_missing_are_logged_once(repository: Path) -> None:
    flags = ("--workers", "1", "--model-version", "1,7", "--model-poll-seconds", "0.02")
    async with running(repository, *flags) as service, AsyncDigitClient(service.grpc_address) as client:
        write_tiny_version(repository, 2)  # noticed and not wanted
        write_tiny_version(repository, 7)
        async with asyncio.timeout(30):
            while (await client.get_model()).version != 7:
                pass  # each look is a call
    missing = [event["missing"] for event in service.events if event["event"] == "model_versions_missing"]
    assert missing == [[7]]


async def test_when_the_folder_goes_what_is_served_stays(start_server: StartServer, repository: Path) -> None:
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as calls:
        shutil.move(repository / "mnist", repository / "gone")
        for _ in range(20):
            assert (await model(server)).version == 1
        (repository / "mnist").write_text("no folder")
        for _ in range(20):
            assert (await model(server)).version == 1
        (repository / "mnist").unlink()
        write_tiny_version(repository, 2)
        await until(server, lambda description: description.version == 2)
    assert calls.failures == []
