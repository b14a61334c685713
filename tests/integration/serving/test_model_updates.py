"""What is served follows the model's folder, while it is asked; what is broken there is refused and told."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import numpy as np
import pytest

from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving import versions
from serving.client import AsyncDigitClient
from serving.errors import ModelRejectedError
from serving.standalone import Standalone
from tests.integration.serving.conftest import StartServer
from tests.tiny_model import image_of, rewrite_metadata, slow_graph, tiny_graph, write_tiny_version

POLL = {"model_poll_seconds": 0.02}
CALLERS = 8
Told = digits_pb2.GetModelResponse


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_tiny_version(tmp_path, 1)
    return tmp_path


async def model(server: Standalone) -> Told:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        told: Told = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest(), timeout=30)
    return told


async def until(
    server: Standalone, holds: Callable[[digits_pb2.GetModelResponse], bool]
) -> digits_pb2.GetModelResponse:
    """Asks until what GetModel says holds."""
    async with asyncio.timeout(30):
        while not holds(told := await model(server)):
            pass  # each look is a call
    return told


async def metric(server: Standalone, line: str) -> bool:
    url = f"http://127.0.0.1:{server.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return line in await response.text()


class Asked:
    """What callers without end were told."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []


@asynccontextmanager
async def callers(server: Standalone) -> AsyncIterator[Asked]:
    """Callers that ask one call after the other until the block ends, without retries: every failure counts."""
    asked, stop = Asked(), asyncio.Event()

    async def ask(digit: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
            stub, request = DigitClassifierStub(channel), digits_pb2.ClassifyRequest()
            request.images.add(pixels=image_of(digit))
            while not stop.is_set():
                try:
                    answer = await stub.Classify(request, timeout=30)
                except grpc.aio.AioRpcError as error:
                    asked.failures.append(f"{error.code()}: {error.details()}")
                else:
                    asked.answered += 1
                    if answer.predictions[0].digit != digit:
                        asked.failures.append(f"{digit} was read as {answer.predictions[0].digit}")

    async with asyncio.TaskGroup() as group:
        for digit in range(CALLERS):
            group.create_task(ask(digit))
        yield asked
        stop.set()


async def test_new_versions_are_swapped_in_under_load_with_no_failed_call(
    start_server: StartServer, repository: Path
) -> None:
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as asked:
        for version in (2, 3, 4):
            write_tiny_version(repository, version)
            await until(server, lambda told, version=version: told.version == version)  # type: ignore[misc]  # bound now
    assert asked.failures == []
    assert asked.answered > CALLERS


async def test_pictures_that_are_read_during_a_swap_are_answered_by_the_new_version(
    start_server: StartServer, repository: Path
) -> None:
    samples = sorted((Path(__file__).parents[3] / "samples").glob("*.png"))
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


def truncated(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    rewrite_metadata(folder, 2)


def changed_after_it_was_described(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")


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
]


@pytest.mark.parametrize(("break_it", "check"), BROKEN, ids=[each.__name__ for each, _ in BROKEN])
async def test_a_version_that_fails_a_check_is_refused_and_told_and_the_old_one_goes_on(
    break_it: Callable[[Path], None], check: str, start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    aside = write_tiny_version(tmp_path / "aside", 2)
    break_it(aside)
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as asked:
        aside.rename(repository / "mnist" / "2")  # at once: a copy may be looked at in the middle on a slow machine
        told = await until(server, lambda told: bool(told.refused_versions))
        assert (told.version, list(told.served_versions)) == (1, [1])
        (refused,) = told.refused_versions
        assert (refused.version, refused.check) == (2, check)
        assert str(repository / "mnist" / "2") in refused.reason or check == "slow"
        assert await metric(server, 'mnist_model_refused_info{check="' + check + '",version="2"} 1.0')
        assert await metric(server, 'mnist_model_loads_total{outcome="' + check + '"} 1.0')
        # Made whole, it is served.
        shutil.rmtree(repository / "mnist" / "2")
        write_tiny_version(repository, 2)
        told = await until(server, lambda told: told.version == 2)
        assert list(told.refused_versions) == []
    assert asked.failures == []


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
        told = await until(server, lambda told: told.version == 2)
        assert list(told.refused_versions) == []


async def test_what_is_broken_from_the_start_is_passed_over_for_an_older_version(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository) as server:
        told = await model(server)
        assert (told.version, told.refused_versions[0].check) == (1, "checksum")


async def test_one_command_rolls_back_and_another_forward_under_load(
    start_server: StartServer, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_version(repository, 2)
    (repository / "mnist" / "config.pbtxt").write_text('name: "mnist"  # ours\nmax_batch_size: 256\n')
    command = ["--model-repository", str(repository)]
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as asked:
        assert (await model(server)).version == 2
        assert versions.main([*command, "rollback"]) == 0
        await until(server, lambda told: told.version == 1)
        assert versions.main([*command, "unpin"]) == 0
        await until(server, lambda told: told.version == 2)
    assert asked.failures == []
    told = [line for line in capsys.readouterr().out.splitlines() if line[0] in "12" and "[" not in line]
    assert told == ["1  to be served", "2", "1", "2  to be served"]
    assert (repository / "mnist" / "config.pbtxt").read_text() == 'name: "mnist"  # ours\nmax_batch_size: 256\n'


async def test_all_versions_are_served_side_by_side_when_asked_for(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2)
    (repository / "mnist" / "config.pbtxt").write_text("version_policy { all { } }")
    async with start_server(model_repository=repository, **POLL) as server:
        assert list((await model(server)).served_versions) == [1, 2]
        async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
            for version in (1, 2, 0):
                (answer,) = await client.classify([image_of(3)], model_version=version)
                assert answer.digit == 3
        write_tiny_version(repository, 3)
        told = await until(server, lambda told: told.version == 3)
        assert list(told.served_versions) == [1, 2, 3]


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


async def test_when_the_folder_goes_what_is_served_stays(start_server: StartServer, repository: Path) -> None:
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as asked:
        shutil.move(repository / "mnist", repository / "gone")
        for _ in range(20):
            assert (await model(server)).version == 1
        (repository / "mnist").write_text("no folder")
        for _ in range(20):
            assert (await model(server)).version == 1
        (repository / "mnist").unlink()
        write_tiny_version(repository, 2)
        await until(server, lambda told: told.version == 2)
    assert asked.failures == []


async def test_nothing_good_at_the_start_is_an_error_that_names_the_check(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(repository / "mnist" / "1")
    with pytest.raises(ModelRejectedError, match=r"says .*: the file was changed") as raised:
        async with start_server(model_repository=repository):
            pass
    assert raised.value.check == "checksum"
