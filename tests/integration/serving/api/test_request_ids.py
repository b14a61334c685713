"""Ids of requests: taken from the caller or made, in trailing metadata, headers and the access log."""

import json
import re

import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.logging import configure_logging
from serving.process.standalone import Standalone
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import web

RAW = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(3))])
EMPTY = digits_pb2.ClassifyRequest()
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = f"00-{TRACE}-{PARENT}-01"
MADE = re.compile("[0-9a-f]{32}")


def id_in_header(headers: dict[str, str]) -> str:
    """aiohttp spells some headers in its own way."""
    return {name.lower(): value for name, value in headers.items()}["x-request-id"]


async def id_in_trailer(stub: DigitClassifierStub, *metadata: tuple[str, str]) -> str | None:
    call = stub.Classify(RAW, metadata=metadata)
    await call
    return dict(await call.trailing_metadata()).get("x-request-id")


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        (("x-request-id", "form-17:3"), "form-17:3"),
        (("traceparent", TRACED), f"{TRACE}-{PARENT}"),
        (("x-request-id", "two words"), None),
        (("x-request-id", "x" * 101), None),
        (("other", "1"), None),
    ],
)
async def test_the_id_of_a_caller_comes_back(
    stub: DigitClassifierStub, metadata: tuple[str, str], wanted: str | None
) -> None:
    assert await id_in_trailer(stub, metadata) == wanted


async def test_a_refused_call_has_its_id_too(stub: DigitClassifierStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Classify(EMPTY, metadata=[("x-request-id", "mine")])
    assert dict(refused.value.trailing_metadata())["x-request-id"] == "mine"


async def test_id_and_stage_times_stand_side_by_side(stub: DigitClassifierStub) -> None:
    call = stub.Classify(RAW, metadata=[("mnist-stages", "1"), ("x-request-id", "mine")])
    await call
    trailing = dict(await call.trailing_metadata())
    assert trailing["x-request-id"] == "mine"
    assert "inference" in str(trailing["server-timing"])


async def test_a_stream_has_the_id_of_its_caller(stub: DigitClassifierStub) -> None:
    call = stub.ClassifyStream(
        iter([digits_pb2.ClassifyStreamRequest(id=1, request=RAW)]), metadata=[("x-request-id", "mine")]
    )
    assert [response.id async for response in call] == [1]
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine"


async def test_every_response_of_http_has_an_id(server: Standalone) -> None:
    async with web(server.http_port) as caller:
        seen = set()
        for path, body in (("/v1/classify", image_of(3)), ("/v1/classify", b""), ("/nowhere", b"")):
            _, _, headers = await caller.post(path, body)
            assert MADE.fullmatch(id_in_header(headers))
            seen.add(id_in_header(headers))
            for given, wanted in ((("x-request-id", "mine"), "mine"), (("traceparent", TRACED), f"{TRACE}-{PARENT}")):
                _, _, headers = await caller.post(path, body, dict([given]))
                assert id_in_header(headers) == wanted
            _, _, headers = await caller.post(path, body, {"x-request-id": "no id"})
            assert MADE.fullmatch(id_in_header(headers))
        assert len(seen) == 3


async def test_grpc_web_has_one_id_in_header_and_trailers(server: Standalone) -> None:
    async with web(server.http_port) as caller:
        _, _, headers = await caller.post(
            "/mnist.v1.DigitClassifier/Classify",
            json.dumps({"images": [{"pixels": ""}]}).encode(),
            {"Content-Type": "application/json"},
        )
        assert MADE.fullmatch(id_in_header(headers))
        assert {name.lower(): value for name, value in headers.items()}["trailer-x-request-id"] == id_in_header(headers)


async def test_the_access_log_names_each_request_and_the_response_says_the_same(
    start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info")
    async with (
        start_server(access_log=True, log_format="json") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        web(server.http_port) as caller,
    ):
        stub = DigitClassifierStub(channel)
        ids = [await id_in_trailer(stub), await id_in_trailer(stub, ("x-request-id", "mine"))]
        ids.append(id_in_header((await caller.classify(image_of(3)))[2]))
    assert ids[0]
    assert MADE.fullmatch(ids[0])
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["request_id"] for event in events if event["event"] == "rpc"] == ids
