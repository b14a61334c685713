"""A picture or pixels by HTTP: answered and refused as gRPC answers and refuses them, by one process or several."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.config import Config
from serving.logging import get_logger
from serving.process.supervisor import Supervisor
from tests.integration.serving.auth.test_api_keys import MakeKey
from tests.support.authority import Authority
from tests.support.engine import ENGINE
from tests.support.processes import ROOT, started_on_loop
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import Web, web

StartWorkers = Callable[[], AbstractAsyncContextManager[tuple[Supervisor, "Web"]]]

PICTURES = sorted(path for path in (ROOT / "samples").iterdir() if path.suffix not in (".bin", ".md"))


@pytest.fixture
async def small(start_server: StartServer) -> AsyncIterator[Web]:
    """Of a server that takes no body above 50,000 bytes."""
    async with start_server(max_image_bytes=50_000) as server, web(server.http_port) as opened:
        yield opened


async def test_what_comes_by_http_is_answered_as_by_grpc(start_server: StartServer) -> None:
    async with start_server() as server, web(server.http_port) as caller:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = DigitClassifierStub(channel)
            images = [(digits_pb2.Image(encoded=path.read_bytes()), path.read_bytes()) for path in PICTURES]
            images += [(digits_pb2.Image(pixels=image_of(digit)), image_of(digit)) for digit in range(10)]
            images.append((digits_pb2.Image(pixels=bytes(784)), bytes(784)))
            for image, body in images:
                wanted = await stub.Classify(digits_pb2.ClassifyRequest(images=[image]))
                prediction = wanted.predictions[0]
                status, answer, _ = await caller.classify(body)
                assert status == 200
                assert answer["digit"] == prediction.digit
                assert answer["probabilities"] == list(prediction.probabilities)
                assert answer["probability"] == prediction.probability
                assert answer["novelty"] == prediction.novelty
                assert (answer["refused"], answer["model_version"]) == (prediction.refused, wanted.model_version)
                assert answer["refusal"] == {0: None, 1: "novel", 2: "blank", 3: "several_glyphs"}[prediction.refusal]
                assert len(answer["quality"]) == len(prediction.quality)
        assert (await caller.metrics())['mnist_http_requests_total{code="OK",method="Classify"}'] == len(images)


async def test_requested_version_answers_or_is_not_found(small: Web) -> None:
    status, answer, _ = await small.classify(image_of(3), query="?model_version=1")
    assert (status, answer["digit"], answer["model_version"]) == (200, 3, 1)
    status, answer, _ = await small.classify(image_of(3), query="?model_version=9")
    assert (status, answer["code"]) == (404, "NOT_FOUND")
    for wrong in ("-1", "1.0", "", "x", "\u0661", "9" * 19, "9" * 5000):
        status, answer, _ = await small.classify(image_of(3), query=f"?model_version={wrong}")
        assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_ARGUMENT"),
        (bytes(783), 400, "INVALID_ARGUMENT"),
        (bytes(785), 400, "INVALID_ARGUMENT"),
        (b"\x89PNG\r\n\x1a\n" + bytes(776), 400, "INVALID_ARGUMENT"),  # 784 bytes, and yet a picture, cut short
        (bytes(50_001), 413, "INVALID_ARGUMENT"),
    ],
)
async def test_body_that_is_no_digit_is_refused_with_the_reason(
    small: Web, body: bytes, status: int, code: str
) -> None:
    got, answer, _ = await small.classify(body)
    assert (got, answer["code"]) == (status, code)
    assert answer["message"]


async def test_the_type_that_a_body_says_it_is_does_not_matter(small: Web) -> None:
    # curl --data-binary says that it is a form
    for kind in ("application/x-www-form-urlencoded", "image/png", "multipart/form-data", "nonsense"):
        status, answer, _ = await small.classify(image_of(8), {"Content-Type": kind})
        assert (status, answer["digit"]) == (200, 8)


@pytest.mark.parametrize("requests", ["25", pytest.param("200", marks=pytest.mark.long)])  # of each kind
async def test_responses_are_as_the_openapi_description_says(
    start_server: StartServer, tmp_path: Path, requests: str
) -> None:
    # No schema can say which bytes are a picture: what it calls valid may be refused.
    options = ["--exclude-checks", "positive_data_acceptance", "--continue-on-failure", "--max-examples", requests]
    # With a store: without one /v1/feedback is 501, which the tool takes for a fault of the server.
    async with start_server(model_repository=ROOT / "models", store=tmp_path / "store.db") as server:
        url = f"http://127.0.0.1:{server.http_port}/v1/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, *options]
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
        async with started_on_loop(command, cwd=tmp_path, **pipes) as tool:
            output, _ = await tool.communicate()
    assert tool.returncode == 0, output.decode()


async def test_keys_are_required_and_rates_enforced(
    start_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.toml"
    make_key = MakeKey(file, capsys)
    key, slow, other = (
        make_key("forms"),
        make_key("slow", "--images-per-second", "0.001"),
        make_key("x", "--scopes", "admin"),
    )
    async with start_server(api_keys=file) as server, web(server.http_port) as caller:
        status, answer, headers = await caller.classify(image_of(1))
        assert (status, answer["code"], headers["WWW-Authenticate"]) == (401, "UNAUTHENTICATED", "Bearer")
        assert (await caller.classify(image_of(1), {"Authorization": f"Bearer {key}"}))[0] == 200
        assert (await caller.classify(image_of(1), {"X-Api-Key": key}))[0] == 200
        assert (await caller.classify(image_of(1), {"X-Api-Key": key + "a"}))[0] == 401
        assert (await caller.classify(image_of(1), {"X-Api-Key": other}))[0] == 403
        assert (await caller.classify(image_of(1), {"X-Api-Key": slow}))[0] == 200
        status, answer, headers = await caller.classify(image_of(1), {"X-Api-Key": slow})
        assert (status, answer["code"]) == (429, "RESOURCE_EXHAUSTED")
        assert 400 < int(headers["Retry-After"]) < 1600


async def test_where_grpc_wants_tls_plain_text_does_not_go_round_it(start_server: StartServer, tmp_path: Path) -> None:
    settings = Authority(tmp_path / "ours").issue("localhost")
    async with start_server(**settings) as server, web(server.http_port) as caller:
        status, answer, _ = await caller.classify(image_of(1))
        assert (status, answer["code"]) == (403, "PERMISSION_DENIED")


async def test_call_whose_caller_hangs_up_is_not_computed(start_server: StartServer) -> None:
    async with start_server(max_queue_delay_seconds=1.0) as server, web(server.http_port) as caller:
        left = asyncio.create_task(caller.classify(image_of(1)))
        while not server.server.images_in_flight:
            await asyncio.sleep(0)  # until it waits for others to fill its batch
        left.cancel()
        async with asyncio.timeout(30):
            while (metrics := await caller.metrics()).get(
                'mnist_http_requests_total{code="CANCELLED",method="Classify"}'
            ) != 1:
                pass  # each look is a call
        assert metrics["mnist_batch_size_count"] == 0


async def test_a_drain_answers_what_came_by_http_and_refuses_the_rest(start_server: StartServer) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(start_server(max_queue_delay_seconds=1.0))
        caller = await stack.enter_async_context(web(server.http_port))
        admitted = asyncio.create_task(caller.classify(image_of(7)))
        while not server.server.images_in_flight:
            await asyncio.sleep(0)
        drain = asyncio.create_task(server.server.drain())
        await asyncio.sleep(0)
        status, answer, _ = await caller.classify(image_of(7))
        assert (status, answer["code"]) == (503, "UNAVAILABLE")
        status, answer, _ = await admitted
        assert (status, answer["digit"]) == (200, 7)
        await drain


async def test_inference_that_raises_reveals_nothing_internal(small: Web) -> None:
    raising = bytes(783) + b"\xff"
    status, answer, _ = await small.classify(raising)
    assert (status, answer["code"]) == (500, "INTERNAL")
    assert answer["message"] == "internal error; the server's log has the details"
    status, answer, _ = await small.classify(image_of(4))
    assert (status, answer["digit"]) == (200, 4)


@pytest.fixture
def start_workers(tiny_repository: Path) -> StartWorkers:
    @asynccontextmanager
    async def start() -> AsyncIterator[tuple[Supervisor, Web]]:
        config = Config(model_repository=tiny_repository, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0)
        async with Supervisor(config, get_logger(), workers=2) as supervisor, web(supervisor.http_port) as caller:
            yield supervisor, caller

    return start


async def test_workers_share_the_calls_and_each_caller_gets_its_own_response(start_workers: StartWorkers) -> None:
    async with start_workers() as (_, caller):
        digits = [n % 10 for n in range(60)]
        answers = await asyncio.gather(*(caller.classify(image_of(digit)) for digit in digits))
        assert [answer["digit"] for _, answer, _ in answers] == digits
        assert (await caller.classify(bytes(3)))[0] == 400
        metrics = await caller.metrics()
        assert metrics['mnist_http_requests_total{code="OK",method="Classify"}'] == 60
        assert metrics['mnist_http_requests_total{code="INVALID_ARGUMENT",method="Classify"}'] == 1


async def test_statistics_readiness_and_metrics_are_those_of_all_workers_behind_any_of_them(
    start_workers: StartWorkers,
) -> None:
    async with start_workers() as (supervisor, _):
        url = f"http://127.0.0.1:{supervisor.http_port}"
        infer = f"{url}/v2/models/mnist/infer"
        for digit in range(30):  # each on a connection of its own, which the kernel gives to either worker
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    infer, data=image_of(digit % 10), headers={"Inference-Header-Content-Length": "0"}
                ) as response,
            ):
                assert (await response.json())["outputs"][1]["data"] == [digit % 10]
        for _ in range(8):
            async with aiohttp.ClientSession(url) as session:
                async with session.get("/v2/models/mnist/stats") as response:
                    [statistics] = (await response.json())["model_stats"]
                assert statistics["inference_stats"]["success"]["count"] == 30
                assert statistics["inference_count"] == 30
                async with session.get("/readyz") as response:
                    assert response.status == 200
                async with session.get("/metrics") as response:
                    text = await response.text()
                assert 'mnist_open_inference_requests_total{outcome="success"} 30.0' in text
                assert "mnist_workers 2.0" in text


async def test_worker_that_dies_leaves_no_caller_waiting(start_workers: StartWorkers) -> None:
    async with start_workers() as (supervisor, caller):
        endless = bytes(782) + b"\xff\x00"  # this inference never ends
        reader, writer = await asyncio.open_connection("127.0.0.1", supervisor.http_port)
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 784\r\n\r\n" + endless)
        for pid in supervisor.worker_pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            assert await hung_up(reader)
            while (status := await status_of(caller)) != 200:
                assert status in (503, None)
        writer.close()


async def hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        return not await reader.read()
    except ConnectionError:
        return True


async def status_of(caller: Web) -> int | None:
    """The status of a call; None where nobody listens."""
    try:
        return (await caller.classify(image_of(2)))[0]
    except aiohttp.ClientError:
        return None
