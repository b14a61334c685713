"""A version that fails a check is refused and reported, and the served one goes on."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest

from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.core.registry import MOST_REPORTED
from serving.errors import MOST_SHOWN, ModelRejectedError
from serving.process.standalone import Standalone
from tests.chaos.service_process import running
from tests.support.changing_repository import (
    POLL,
    callers,
    changed_after_it_was_described,
    metric,
    model,
    until,
)
from tests.support.processes import completed, server_command, without_settings
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, slow_graph, tiny_graph, write_tiny_version


def truncated(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    rewrite_metadata(folder, 2)


def of_another_shape(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph("picture"))
    rewrite_metadata(folder, 2)


def that_answers_nan(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph(weight=float("nan")))
    rewrite_metadata(folder, 2)


def that_reads_other_digits(folder: Path) -> None:
    with np.load(folder / "golden.npz") as golden:
        arrays = dict(golden)
    np.savez(folder / "golden.npz", **arrays | {"digit": (arrays["digit"] + 1) % 10})
    rewrite_metadata(folder, 2)


def that_is_slow(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(slow_graph())
    rewrite_metadata(folder, 2)


def without_its_golden_answers(folder: Path) -> None:
    (folder / "golden.npz").unlink()


def of_another_number(folder: Path) -> None:
    rewrite_metadata(folder, 7)


def with_no_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("{")


def with_a_fifo(folder: Path) -> None:
    (folder / "metadata.json").unlink()
    os.mkfifo(folder / "metadata.json")


def whose_metadata_is_huge(folder: Path) -> None:
    os.truncate(folder / "metadata.json", 2**30)  # sparse


def whose_graph_is_huge(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 2**31)  # sparse


def with_a_lone_surrogate(folder: Path) -> None:
    rewrite_metadata(folder, 2, created="\ud800")


def of_a_long_name(folder: Path) -> None:
    rewrite_metadata(folder, 2, name="\udfff\n" * 20_000)


def with_weights_in_another_file(folder: Path) -> None:
    graph = onnx.load_from_string(tiny_graph())
    weights = graph.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="LICENSE")  # in the working directory of the tests
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    rewrite_metadata(folder, 2)


BROKEN = [
    (truncated, "graph"),
    (changed_after_it_was_described, "checksum"),
    (of_another_shape, "graph"),
    (that_answers_nan, "golden"),
    (that_reads_other_digits, "golden"),
    (that_is_slow, "slow"),
    (without_its_golden_answers, "unreadable"),
    (of_another_number, "metadata"),
    (with_no_json, "metadata"),
    (with_a_fifo, "unreadable"),
    (whose_metadata_is_huge, "unreadable"),
    (whose_graph_is_huge, "unreadable"),
    (with_a_lone_surrogate, "metadata"),
    (of_a_long_name, "metadata"),
    (with_weights_in_another_file, "graph"),
]


@pytest.mark.parametrize(("break_it", "check"), BROKEN, ids=[each.__name__ for each, _ in BROKEN])
async def test_version_that_fails_a_check_is_refused_and_reported_and_the_old_one_goes_on(
    break_it: Callable[[Path], None], check: str, start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    aside = write_tiny_version(tmp_path / "aside", 2)
    break_it(aside)
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as calls:
        aside.rename(repository / "mnist" / "2")  # at once: a copy may be looked at in the middle on a slow machine
        description = await until(server, lambda description: bool(description.refused_versions))
        assert (description.version, list(description.served_versions)) == (1, [1])
        (refused,) = description.refused_versions
        assert (refused.version, refused.check) == (2, check)
        assert str(repository / "mnist" / "2") in refused.reason or check == "slow"
        assert len(refused.reason) <= MOST_SHOWN
        assert await reasons(server) == {"2": refused.reason}
        assert await metric(server, 'mnist_model_refused_info{check="' + check + '",version="2"} 1.0')
        assert await metric(server, 'mnist_model_loads_total{outcome="' + check + '"} 1.0')
        # Made whole, it is served.
        shutil.rmtree(repository / "mnist" / "2")
        write_tiny_version(repository, 2)
        description = await until(server, lambda description: description.version == 2)
        assert list(description.refused_versions) == []
    assert calls.failures == []


async def reasons(server: Standalone) -> dict[str, str]:
    """Reasons that RepositoryIndex gives, by version."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        index = await GRPCInferenceServiceStub(channel).RepositoryIndex(protocol.RepositoryIndexRequest())
    return {each.version: each.reason for each in index.models if each.state == "UNAVAILABLE"}


@pytest.mark.parametrize("number", [2**63, int("9" * 20), int("9" * 250)], ids=lambda number: f"{len(str(number))}")
async def test_a_number_that_the_protocols_cannot_hold_is_refused_and_reported(
    number: int, start_server: StartServer, repository: Path
) -> None:
    write_tiny_version(repository, number)
    async with start_server(model_repository=repository) as server, callers(server):
        description = await model(server)
        (refused,) = description.refused_versions
        assert (description.version, refused.version, refused.check) == (1, 0, "number")
        assert str(number) in refused.reason
        assert await reasons(server) == {str(number): refused.reason}
        assert await metric(server, f'mnist_model_refused_info{{check="number",version="{number}"}} 1.0')
        assert await metric(server, 'mnist_model_loads_total{outcome="number"} 1.0')


async def test_a_start_with_no_number_that_fits_says_so(start_server: StartServer, repository: Path) -> None:
    (repository / "mnist" / "1").rename(repository / "mnist" / str(2**63))
    with pytest.raises(ModelRejectedError, match="rename the folder") as raised:
        async with start_server(model_repository=repository):
            pass
    assert raised.value.check == "number"


async def test_of_many_refused_versions_the_highest_are_reported_once(repository: Path) -> None:
    many = 10 * MOST_REPORTED
    for version in range(2, many + 2):
        (repository / "mnist" / str(version)).mkdir()
    async with running(repository, "--workers", "1", "--model-poll-seconds", "0.02") as service:
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            description = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest())
            highest = list(range(many + 2 - MOST_REPORTED, many + 2))
            assert [each.version for each in description.refused_versions] == highest
            write_tiny_version(repository, many + 2)  # some looks later
            async with asyncio.timeout(30):
                while description.version != many + 2:
                    description = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest())
        assert list(description.refused_versions) == []
    refusals = [event["version"] for event in service.events if event["event"] == "model_refused"]
    assert refusals == highest[::-1]
    more = [event["versions"] for event in service.events if event["event"] == "model_refused_more"]
    assert more == [many - MOST_REPORTED]


async def test_a_config_that_cannot_be_read_is_logged_once_and_in_one_line(repository: Path) -> None:
    async with running(repository, "--workers", "1", "--model-poll-seconds", "0.02") as service:
        (repository / "mnist" / "config.pbtxt").write_text("a { " * 15_000)
        async with grpc.aio.insecure_channel(service.grpc_address) as channel, asyncio.timeout(30):
            stub, request = DigitClassifierStub(channel), digits_pb2.GetModelRequest()
            while not [event for event in service.events if event["event"] == "model_repository_unusable"]:
                assert (await stub.GetModel(request)).version == 1
            for _ in range(200):  # some more looks
                assert (await stub.GetModel(request)).version == 1
            (repository / "mnist" / "config.pbtxt").unlink()
            write_tiny_version(repository, 2)
            while (await stub.GetModel(request)).version != 2:
                pass  # each look is a call
    (unusable,) = [event["why"] for event in service.events if event["event"] == "model_repository_unusable"]
    assert "nested too deep" in unusable
    assert not [event for event in service.events if event["event"] == "look_failed"]


def test_a_start_with_a_config_that_cannot_be_read_says_so_in_one_line(repository: Path) -> None:
    (repository / "mnist" / "config.pbtxt").write_text("a { " * 15_000)
    command = server_command("--workers", "1", "--model-repository", repository)
    done = completed(command, env=without_settings())
    assert done.returncode == 1
    assert re.fullmatch(
        r'\{"event": "stopped".*\}\nerror: .*config\.pbtxt: cannot be read: it is nested too deep\n', done.stderr
    )


async def test_a_version_is_not_tried_while_it_is_copied(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    whole = write_tiny_version(tmp_path / "aside", 2)
    copy = repository / "mnist" / "2"
    async with start_server(model_repository=repository, **POLL) as server:
        copy.mkdir()
        content = (whole / "model.onnx").read_bytes()
        shutil.copy(whole / "metadata.json", copy)
        shutil.copy(whole / "golden.npz", copy)
        with (copy / "model.onnx").open("wb") as file:
            for start in range(0, len(content), 2048):  # grows at every look, as files do that are copied
                file.write(content[start : start + 2048])
                file.flush()
                await model(server)
        description = await until(server, lambda description: description.version == 2)
        assert list(description.refused_versions) == []


async def test_what_is_broken_from_the_start_is_passed_over_for_an_older_version(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository) as server:
        description = await model(server)
        assert (description.version, description.refused_versions[0].check) == (1, "checksum")


async def test_nothing_good_at_the_start_is_an_error_that_names_the_check(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(repository / "mnist" / "1")
    with pytest.raises(ModelRejectedError, match=r"says .*: the file was changed") as raised:
        async with start_server(model_repository=repository):
            pass
    assert raised.value.check == "checksum"


async def test_refused_version_is_no_longer_reported_once_a_newer_one_is_served(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository, **POLL) as server:
        assert [each.version for each in (await model(server)).refused_versions] == [2]
        write_tiny_version(repository, 3)
        await until(server, lambda description: description.version == 3 and not description.refused_versions)
        assert not await metric(server, 'mnist_model_refused_info{check="checksum",version="2"}')
