"""Browsers call the unary methods by gRPC-Web and Connect, and get what gRPC's callers get."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2

from protos.inference import open_inference_pb2 as inference
from protos.mnist.v1 import digits_pb2
from serving.process.standalone import Standalone
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import web

CLASSIFY = "/mnist.v1.DigitClassifier/Classify"
REQUEST = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))])


@pytest.fixture
async def session(server: Standalone) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as opened:
        yield opened


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def unframed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The messages, joined, and the trailers."""
    message, trailers = b"", {}
    while body:
        flags, length = struct.unpack_from(">BI", body)
        content, body = body[5 : 5 + length], body[5 + length :]
        if flags & 0x80:
            trailers = dict(line.split(":", 1) for line in content.decode().splitlines())
        else:
            message += content
    return message, trailers


async def by_grpc_web(
    session: aiohttp.ClientSession, path: str, body: bytes, kind: str = "application/grpc-web+proto", **headers: str
) -> tuple[bytes, dict[str, str]]:
    async with session.post(path, data=body, headers={"Content-Type": kind} | headers) as response:
        assert (response.status, response.content_type) == (200, kind)
        content = await response.read()
    return unframed(base64.b64decode(content) if "text" in kind else content)


async def test_grpc_web_is_answered_as_bytes_and_as_text(session: aiohttp.ClientSession) -> None:
    body = framed(REQUEST.SerializeToString())
    for kind, sent in (
        ("application/grpc-web+proto", body),
        ("application/grpc-web", body),
        ("application/grpc-web-text", base64.b64encode(body)),
    ):
        message, trailers = await by_grpc_web(session, CLASSIFY, sent, kind)
        assert trailers.pop("x-request-id")
        assert trailers == {"grpc-status": "0"}
        assert digits_pb2.ClassifyResponse.FromString(message).predictions[0].digit == 7


async def test_a_status_and_its_metadata_come_in_the_trailers(session: aiohttp.ClientSession) -> None:
    _, trailers = await by_grpc_web(session, CLASSIFY, framed(b"\xff\xff"))
    assert trailers["grpc-status"] == "3"
    assert trailers["grpc-message"].startswith("the message is no mnist.v1.ClassifyRequest")
    stages = {"mnist-stages": "1"}
    _, trailers = await by_grpc_web(session, CLASSIFY, framed(REQUEST.SerializeToString()), **stages)
    assert trailers["server-timing"].startswith("decode;dur=")


async def test_connect_is_answered_in_binary_and_in_json(session: aiohttp.ClientSession) -> None:
    async with session.post(
        CLASSIFY, data=REQUEST.SerializeToString(), headers={"Content-Type": "application/proto"}
    ) as response:
        assert (response.status, response.content_type) == (200, "application/proto")
        answer = digits_pb2.ClassifyResponse.FromString(await response.read())
        assert answer.predictions[0].digit == 7
    async with session.post(CLASSIFY, json=json_format.MessageToDict(REQUEST)) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert json_format.ParseDict(await response.json(), digits_pb2.ClassifyResponse()) == answer


async def test_connects_errors_are_statuses_of_http_with_a_code(session: aiohttp.ClientSession) -> None:
    for body, status, code in (
        ({"images": []}, 400, "invalid_argument"),
        (json_format.MessageToDict(REQUEST) | {"modelVersion": "9"}, 404, "not_found"),
    ):
        async with session.post(CLASSIFY, json=body) as response:
            assert (response.status, (await response.json())["code"]) == (status, code)


async def test_every_unary_method_of_every_service_is_there(session: aiohttp.ClientSession) -> None:
    async with session.post("/grpc.health.v1.Health/Check", json={}) as response:
        assert await response.json() == {"status": "SERVING"}
    request = inference.ModelReadyRequest(name="mnist").SerializeToString()
    message, _ = await by_grpc_web(session, "/inference.GRPCInferenceService/ModelReady", framed(request))
    assert inference.ModelReadyResponse.FromString(message).ready
    _, trailers = await by_grpc_web(session, "/grpc.health.v1.Health/Check", framed(b"\xff"))
    assert trailers["grpc-status"] == "3"
    assert health_pb2.HealthCheckRequest.DESCRIPTOR.full_name in trailers["grpc-message"]
    for stream in ("/mnist.v1.DigitClassifier/ClassifyStream", "/grpc.health.v1.Health/Watch"):
        async with session.post(stream, json={}) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/grpc-web", b"", 400),
        ("application/grpc-web", struct.pack(">BI", 0, 9) + b"short", 400),
        ("application/grpc-web", struct.pack(">BI", 1, 0), 400),
        ("application/grpc-web-text", b"%%%", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[" * 10_000, 400),
        ("application/json", b'{"images": 5}', 400),
        ("text/plain", b"hello", 415),
    ],
)
async def test_a_body_that_is_no_call_is_refused(
    session: aiohttp.ClientSession, kind: str, body: bytes, status: int
) -> None:
    async with session.post(CLASSIFY, data=body, headers={"Content-Type": kind}) as response:
        assert response.status == status
        assert json.loads(await response.text())["message"]


@pytest.mark.parametrize("deadline", [{"grpc-timeout": "50m"}, {"connect-timeout-ms": "50"}])
async def test_a_deadline_that_a_header_sets_ends_the_call(start_server: StartServer, deadline: dict[str, str]) -> None:
    async with (
        start_server(max_queue_delay_seconds=1.0) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session,
    ):
        body = framed(REQUEST.SerializeToString())
        message, trailers = await by_grpc_web(session, CLASSIFY, body, **deadline)
        assert (message, trailers["grpc-status"]) == (b"", "4")


async def test_a_call_whose_caller_hangs_up_is_not_computed(start_server: StartServer) -> None:
    async with start_server(max_queue_delay_seconds=1.0) as server, web(server.http_port) as caller:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
            call = asyncio.create_task(by_grpc_web(session, CLASSIFY, framed(REQUEST.SerializeToString())))
            while not server.server.images_in_flight:
                await asyncio.sleep(0)
            call.cancel()
            series = 'grpc_server_handled_total{grpc_code="CANCELLED",grpc_method="Classify",'
            async with asyncio.timeout(30):
                while not any(
                    value for name, value in (await caller.metrics()).items() if name.startswith(series) and value
                ):
                    pass  # each look is a call
        assert (await caller.metrics())["mnist_batch_size_count"] == 0


async def test_keys_are_those_of_grpc_and_calls_are_counted_with_its_calls(
    session: aiohttp.ClientSession, server: Standalone
) -> None:
    await by_grpc_web(session, CLASSIFY, framed(REQUEST.SerializeToString()))
    async with web(server.http_port) as caller:
        metrics = await caller.metrics()
    labels = 'grpc_code="OK",grpc_method="Classify",grpc_service="mnist.v1.DigitClassifier",grpc_type="unary"'
    assert metrics[f"grpc_server_handled_total{{{labels}}}"] == 1
