"""A candidate version in the shadow: compared, never answering, and whatever it does, no answer is touched."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.commands.versions import versions
from serving.config import Config
from serving.logging import get_logger
from serving.options import run_command
from serving.process.standalone import Standalone
from serving.process.supervisor import Supervisor
from serving.version_policy import Candidate
from tests.support.candidates import greedy_graph, image_that_takes_memory, tolerant_graph, write_moved_version
from tests.support.changing_repository import POLL, changed_after_it_was_described, model, until
from tests.support.engine import ENGINE
from tests.support.servers import StartServer
from tests.support.tiny_model import (
    image_of,
    image_that_fails,
    image_that_hangs,
    rewrite_metadata,
    slow_graph,
    tiny_graph,
    write_tiny_version,
)

PREFIX = "mnist_shadow_"
ALL = Candidate(2, 1.0)
Counted = dict[tuple[str, ...], float]


@asynccontextmanager
async def stub_of(service: Standalone | Supervisor) -> AsyncIterator[DigitClassifierStub]:
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}", own) as channel:
        yield DigitClassifierStub(channel)


def shadow_processes() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "serving.process.candidates.shadow" in each.cmdline()]


def images(*pixels: bytes) -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=each) for each in pixels])


async def counted(service: Standalone | Supervisor) -> Counted:
    """Values of the shadow's metrics, by name and labels but those of versions; the served answer comes first."""
    url = f"http://127.0.0.1:{service.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        families = list(text_string_to_metric_families(await response.text()))
    samples = [sample for family in families for sample in family.samples if sample.name.startswith(PREFIX)]
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(sample.labels[name] for name in sorted(sample.labels, reverse=True) if "version" not in name),
        ): sample.value
        for sample in samples
    }


async def until_counted(service: Standalone | Supervisor, holds: Callable[[Counted], bool]) -> Counted:
    """Scrapes until `holds` accepts what is counted, and returns that."""
    found: Counted = {}
    try:
        async with asyncio.timeout(60):
            while not holds(found := await counted(service)):
                pass  # each look is a scrape
    except TimeoutError:
        pytest.fail(f"not counted: { ({key: value for key, value in found.items() if value}) }")
    return found


async def until_loaded(service: Standalone | Supervisor) -> None:
    await until_counted(service, lambda found: found.get(("loaded",)) == 1)


async def classify_until(
    service: Standalone | Supervisor, request: digits_pb2.ClassifyRequest, holds: Callable[[Counted], bool]
) -> Counted:
    """Classifies and scrapes until `holds` accepts what is counted. Every answer is right, and version 1's."""
    async with asyncio.timeout(60), stub_of(service) as stub:
        while not holds(found := await counted(service)):
            for _ in range(5):
                response = await stub.Classify(request, timeout=30)
                assert response.model_version == 1
                for image, prediction in zip(request.images, response.predictions, strict=True):
                    assert image.pixels == image_of(prediction.digit)
    return found


async def test_candidate_is_compared_and_answers_nobody_until_it_is_pinned(
    start_server: StartServer, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_moved_version(repository, 2)
    async with start_server(model_repository=repository, shadow=ALL, **POLL) as server, stub_of(server) as stub:
        description = await model(server)
        assert description.version == 1
        assert [(each.version, each.check) for each in description.refused_versions] == [(2, "waiting")]
        await until_loaded(server)
        found = await classify_until(
            server, images(image_of(3), image_of(9)), lambda found: found["differences_total", "9", "0"] > 0
        )
        assert found["differences_total", "3", "4"] == found["differences_total", "9", "0"]
        assert found["images_total", "other_digit"] == 2 * found["differences_total", "9", "0"]
        assert found["images_total", "same"] == 0
        assert found["inference_seconds_count",] > 0
        capsys.readouterr()
        compare = ["compare", "--http-port", str(server.http_port)]
        assert await asyncio.to_thread(run_command, versions, compare) == 0
        shown = capsys.readouterr().out
        (total,) = re.findall(r"version 2 against version 1, on (\d+) images", shown)
        assert int(total) >= found["images_total", "other_digit"]
        assert re.search(rf"another digit +100.00% +{total}\n", shown)
        rows = [line.split() for line in shown.splitlines() if line.startswith("       ")][1:]
        half = str(int(total) // 2)
        assert rows == [["3", *"....", half, *"......"], ["9", half, *".........."]]
        assert run_command(versions, ["--model-repository", str(repository), "pin", "2"]) == 0
        await until(server, lambda description: description.version == 2)
        before = await counted(server)
        assert (await stub.Classify(images(image_of(3)), timeout=30)).predictions[0].digit == 4
        assert await counted(server) | {("memory_bytes",): 0} == before | {("memory_bytes",): 0}
        assert run_command(versions, ["--model-repository", str(repository), "rollback"]) == 0
        await until(server, lambda description: description.version == 1)


async def test_refusals_by_one_version_only_are_counted_apart(start_server: StartServer, repository: Path) -> None:
    rewrite_metadata(write_tiny_version(repository, 2), 2, novelty_threshold=0.9)
    unsure = b"\xff" * 3 + bytes(781)  # a third for each of three digits: novelty 2/3
    async with start_server(model_repository=repository, shadow=ALL) as server, stub_of(server) as stub:
        await until_loaded(server)
        async with asyncio.timeout(60):
            while not (found := await counted(server))["images_total", "refused_by_served"]:
                await stub.Classify(images(unsure), timeout=30)
    assert found["differences_total", "refused", "0"] == found["images_total", "refused_by_served"]
    assert found["images_total", "refused_by_candidate"] == found["images_total", "other_digit"] == 0


@pytest.mark.parametrize(
    ("graph", "image"), [(tiny_graph(), image_that_fails()), (greedy_graph(), image_that_takes_memory())]
)
async def test_candidate_that_raises_or_takes_too_much_memory_costs_its_own_answers(
    start_server: StartServer, tmp_path: Path, graph: bytes, image: bytes
) -> None:
    write_tiny_version(tmp_path, 1, tolerant_graph())
    write_tiny_version(tmp_path, 2, graph)
    async with start_server(model_repository=tmp_path, shadow=ALL) as server, stub_of(server) as stub:
        await until_loaded(server)
        async with asyncio.timeout(60):
            while not (await counted(server))["uncompared_total", "raised"]:
                assert (await stub.Classify(images(image), timeout=30)).predictions[0].refused
        found = await classify_until(server, images(image_of(3)), lambda found: found["images_total", "same"] > 0)
    assert found["restarts_total",] == 0


async def test_candidate_that_hangs_costs_no_answer_and_is_started_again(
    start_server: StartServer, tmp_path: Path
) -> None:
    write_tiny_version(tmp_path, 1, tolerant_graph())
    write_tiny_version(tmp_path, 2)
    settings = {"model_repository": tmp_path, "shadow": ALL, "inference_timeout_seconds": 0.05}
    async with start_server(**settings) as server, stub_of(server) as stub:
        await until_loaded(server)
        async with asyncio.timeout(60):
            while not (await counted(server))["restarts_total",]:
                assert (await stub.Classify(images(image_that_hangs()), timeout=30)).model_version == 1
        await until_loaded(server)
        await classify_until(server, images(image_of(3)), lambda found: found["images_total", "same"] > 0)


async def test_candidate_that_hangs_while_it_is_loaded_costs_no_answer_and_is_tried_again(
    start_server: StartServer, repository: Path
) -> None:
    folder = write_tiny_version(repository, 2)
    golden = dict(np.load(folder / "golden.npz"))
    golden["pixels"][0] = np.frombuffer(image_that_hangs(), np.uint8)
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder, 2)
    settings = {"model_repository": repository, "shadow": ALL, "inference_timeout_seconds": 0.05}
    async with start_server(**settings) as server:
        await classify_until(server, images(image_of(3)), lambda found: found["restarts_total",] > 0)


async def test_broken_candidate_costs_nothing_and_is_tried_again_when_its_files_change(
    start_server: StartServer, repository: Path
) -> None:
    folder = write_tiny_version(repository, 2)
    sound = (folder / "model.onnx").read_bytes()
    changed_after_it_was_described(folder)
    settings = {"model_repository": repository, "shadow": ALL, "model_poll_seconds": 0.1}
    async with start_server(**settings) as server:
        found = await classify_until(
            server, images(image_of(3)), lambda found: found["uncompared_total", "not_loaded"] > 0
        )
        assert (found["loaded",], found["images_total", "same"]) == (0, 0)
        (folder / "model.onnx").write_bytes(sound)
        await until_loaded(server)
        await classify_until(server, images(image_of(3)), lambda found: found["images_total", "same"] > 0)


async def test_slow_candidate_is_sent_no_more_than_it_has_room_for(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2, slow_graph())
    async with start_server(model_repository=repository, shadow=ALL) as server:
        await until_loaded(server)
        many = images(*[image_of(digit % 10) for digit in range(64)])
        found = await classify_until(server, many, lambda found: found["dropped_total", "full"] > 0)
    assert found["uncompared_total", "raised"] == 0


async def test_killed_shadow_process_is_started_again(start_server: StartServer, repository: Path) -> None:
    write_tiny_version(repository, 2)
    async with start_server(model_repository=repository, shadow=ALL) as server:
        await until_loaded(server)
        await classify_until(server, images(image_of(3)), lambda found: found["images_total", "same"] > 0)
        (process,) = [
            each for each in psutil.Process().children() if "serving.process.candidates.shadow" in each.cmdline()
        ]
        process.kill()
        found = await until_counted(server, lambda found: found["restarts_total",] == 1)
        assert found["images_total", "same"] > 0  # what was counted stays
        await until_loaded(server)


async def test_two_workers_share_a_shadow_process_and_feedback_says_which_version_was_right(
    repository: Path, tmp_path: Path
) -> None:
    write_moved_version(repository, 2)
    config = Config(
        model_repository=repository, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0, shadow=ALL,
        store=tmp_path / "store.db",
    )  # fmt: skip
    async with Supervisor(config, get_logger(), workers=2) as service:
        await until_loaded(service)
        ids: list[str] = []
        for _ in range(8):  # each over a connection of its own, which the kernel gives to either worker
            async with stub_of(service) as stub:
                response = await stub.Classify(images(image_of(3)), timeout=30)
            ids.append(response.request_id)
            await until_counted(service, lambda found: found["differences_total", "3", "4"] == len(ids))
        for request_id, digit in zip(ids, [3, 3, 3, 3, 4, 4, 5, 5], strict=True):
            async with stub_of(service) as stub:
                await stub.Feedback(digits_pb2.FeedbackRequest(request_id=request_id, digit=digit), timeout=30)
        found = await until_counted(
            service, lambda found: sum(value for key, value in found.items() if key[0] == "judged_total") == 8
        )
        assert {key[1]: value for key, value in found.items() if key[0] == "judged_total"} == {
            "both": 0, "served": 4, "candidate": 2, "neither": 2,
        }  # fmt: skip


async def test_without_a_candidate_there_is_no_process_and_nothing_is_counted(
    start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with start_server() as server, stub_of(server) as stub:
        await stub.Classify(images(image_of(3)), timeout=30)
        assert await counted(server) == {}
        compare = ["compare", "--http-port", str(server.http_port)]
        assert await asyncio.to_thread(run_command, versions, compare) == 1
        assert "start it with --shadow VERSION:SHARE" in capsys.readouterr().err
        assert not [
            each for each in psutil.Process().children() if "serving.process.candidates.shadow" in each.cmdline()
        ]
