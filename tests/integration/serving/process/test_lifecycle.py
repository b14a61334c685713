"""Start, readiness, drain, and what orchestrators and Prometheus see meanwhile."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.errors import ConfigError, ModelRejectedError
from serving.logging import configure_logging
from serving.process.standalone import Standalone
from tests.support.processes import completed
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
ONE_IMAGE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(1))])


async def get(server: Standalone, path: str, accept: str = "text/plain") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.http_port}{path}", headers={"Accept": accept}) as response,
    ):
        return response.status, await response.text()


async def test_a_started_server_is_alive_and_ready(server: Standalone) -> None:
    assert await get(server, "/livez") == (200, "alive\n")
    assert await get(server, "/readyz") == (200, "ready\n")


async def test_metrics_count_calls_by_method_and_code(server: Standalone, stub: DigitClassifierStub) -> None:
    await stub.Classify(ONE_IMAGE)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Classify(digits_pb2.ClassifyRequest())
    status, text = await get(server, "/metrics")
    assert status == 200
    labels = 'grpc_method="Classify",grpc_service="mnist.v1.DigitClassifier",grpc_type="unary"'
    for line in (
        f"grpc_server_started_total{{{labels}}} 2.0",
        f'grpc_server_handled_total{{grpc_code="OK",{labels}}} 1.0',
        f'grpc_server_handled_total{{grpc_code="INVALID_ARGUMENT",{labels}}} 1.0',
        f"grpc_server_handling_seconds_count{{{labels}}} 2.0",
        'mnist_rejected_total{reason="invalid"} 1.0',
        "mnist_ready 1.0",
    ):
        assert line in text
    assert 'mnist_model_info{device="cpu",name="mnist",' in text


async def test_metrics_can_be_put_on_an_address_of_their_own(start_server: StartServer) -> None:
    async with start_server(metrics_address="127.0.0.1:0") as server:
        assert (await get(server, "/metrics"))[0] == 404
        assert (await get(server, "/readyz"))[0] == 200
        server.http_port = server.metrics_port
        assert (await get(server, "/metrics"))[0] == 200
        assert (await get(server, "/readyz"))[0] == 404


async def test_openmetrics_is_served_to_callers_that_accept_it(server: Standalone) -> None:
    _, text = await get(server, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_health_is_checked_and_watched(start_server: StartServer) -> None:
    async with start_server() as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        health: Any = health_pb2_grpc.HealthStub(channel)  # the stubs describe no attributes
        for service in ("", "mnist.v1.DigitClassifier", "inference.GRPCInferenceService"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health.Check(health_pb2.HealthCheckRequest(service="other"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
    assert (await watch.read()).status == NOT_SERVING
    await channel.close()


async def test_reflection_lists_the_services_unless_it_is_closed(start_server: StartServer) -> None:
    async def services(server: Standalone) -> list[str]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            opened: Any = channel  # the stubs know the blocking channel only
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(opened)
            call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            return [s.name for answer in [await call.read()] for s in answer.list_services_response.service]

    async with start_server() as server:
        assert {"mnist.v1.DigitClassifier", "grpc.health.v1.Health"} <= set(await services(server))
    async with (
        start_server(reflection=False) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        opened: Any = channel
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(opened)
        call = stub.ServerReflectionInfo()
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_drain_answers_the_admitted_and_refuses_the_new(start_server: StartServer) -> None:
    # The delay keeps the first call in the queue while the drain begins.
    async with start_server(max_queue_delay_seconds=1.0) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        stub = DigitClassifierStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)  # the stubs describe no attributes
        watch = health.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        admitted = asyncio.ensure_future(stub.Classify(ONE_IMAGE))
        while server.server.images_in_flight == 0:  # the call is on its way
            await asyncio.sleep(0)

        async def call_while_draining() -> grpc.StatusCode:
            assert (await watch.read()).status == NOT_SERVING
            assert (await get(server, "/readyz"))[0] == 503
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Classify(ONE_IMAGE)
            return raised.value.code()

        late = asyncio.create_task(call_while_draining())
    assert (await admitted).predictions[0].digit == 1
    assert await late is grpc.StatusCode.UNAVAILABLE
    await channel.close()


async def test_a_drain_that_cannot_end_stops_at_its_grace(
    start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info")
    async with start_server(max_queue_delay_seconds=1.0, drain_grace_seconds=0.01) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        call = DigitClassifierStub(channel).Classify(ONE_IMAGE)
        while server.server.images_in_flight == 0:  # the call is on its way
            await asyncio.sleep(0)
    await asyncio.wait([asyncio.ensure_future(call)])
    await channel.close()
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {e["event"]: e["images_in_flight"] for e in events if e["level"] == "warning"} == {"drain_incomplete": 1}


async def test_a_taken_port_is_named_with_the_flag_that_changes_it(
    server: Standalone, start_server: StartServer
) -> None:
    with pytest.raises(ConfigError, match=r"http_port \d+ on 127\.0\.0\.1: .*in use; another: --http-port"):
        async with start_server(http_port=server.http_port):
            pass
    with pytest.raises(ConfigError, match=r"grpc_port \d+ on 127\.0\.0\.1: .*in use; another: --grpc-port"):
        async with start_server(grpc_port=server.grpc_port):
            pass


async def test_without_a_model_the_server_does_not_start(start_server: StartServer, tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match="no model mnist at"):
        async with start_server(model_repository=tmp_path):
            pass


@pytest.mark.parametrize(("access_log", "lines"), [(True, 1), (False, 0)])
async def test_the_access_line_can_be_turned_on_and_never_holds_pixels(
    access_log: bool, lines: int, start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info")
    async with (
        start_server(access_log=access_log, log_format="json") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        await DigitClassifierStub(channel).Classify(ONE_IMAGE)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    rpcs = [event for event in events if event["event"] == "rpc"]
    assert len(rpcs) == lines
    wanted = {"event", "level", "timestamp", "method", "code", "seconds", "peer", "request_id"}
    assert all(set(event) == wanted and event["code"] == "OK" for event in rpcs)


def test_server_without_pictures_has_not_loaded_what_reads_them() -> None:
    program = "import sys, serving.process.standalone; print(*({'cv2', 'PIL'} & sys.modules.keys()))"
    done = completed([sys.executable, "-c", program])
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
