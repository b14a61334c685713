"""Read by gRPC and by HTTP: lines of digits with their places, the refusals, and the limits that every method has."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jsonschema
import pytest
from PIL import Image

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.commands.keys import keys
from serving.logging import configure_logging
from serving.options import run_command
from serving.process.standalone import Standalone
from tests.support.pictures import file_of, picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.web import web

LINE = picture_of("31")
DESCRIPTION = json.loads((ROOT / "serving" / "api" / "digits" / "openapi.json").read_text())
BLANK = file_of(Image.new("L", (60, 40), 255))


@pytest.fixture(params=["completion-queue", "aio"])
async def trained(start_server: StartServer, request: pytest.FixtureRequest) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=ROOT / "models", grpc_engine=request.param) as server:
        yield server


@pytest.fixture
async def stub(trained: Standalone) -> AsyncIterator[DigitClassifierStub]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trained.grpc_port}") as channel:
        yield DigitClassifierStub(channel)


async def read(stub: DigitClassifierStub, picture: bytes, **fields: Any) -> digits_pb2.ReadResponse:
    response: digits_pb2.ReadResponse = await stub.Read(
        digits_pb2.ReadRequest(picture=picture, **fields), timeout=30, metadata=[("mnist-stages", "1")]
    )
    return response


async def test_a_line_of_digits_is_read_with_their_places(stub: DigitClassifierStub) -> None:
    response = await read(stub, LINE, layout=digits_pb2.LAYOUT_LINE)
    assert (response.width, response.height) == (86, 48)
    assert response.model_version == (await stub.GetModel(digits_pb2.GetModelRequest())).version
    [line] = response.lines
    assert (line.text, line.refused) == ("31", False)
    assert 0.5 < line.probability <= 1
    assert [glyph.digit for glyph in line.digits] == [3, 1]
    for glyph, left in zip(line.digits, (10, 48), strict=True):
        assert glyph.probability == max(glyph.probabilities) == glyph.probabilities[glyph.digit]
        assert abs(sum(glyph.probabilities) - 1) < 1e-5
        assert 0 <= glyph.novelty <= 1
        assert left <= glyph.box.x < glyph.box.x + glyph.box.width <= left + 28
        assert 0 <= glyph.box.y < glyph.box.y + glyph.box.height <= 48


async def test_a_picture_of_one_digit_is_read_as_classify_reads_it(stub: DigitClassifierStub) -> None:
    picture = (ROOT / "samples" / "black-on-white-3.png").read_bytes()
    response = await read(stub, picture, layout=digits_pb2.LAYOUT_DIGIT)
    assert [line.text for line in response.lines] == ["3"]
    wanted = await stub.Classify(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=picture)]))
    [glyph] = response.lines[0].digits
    assert (glyph.digit, glyph.refused) == (wanted.predictions[0].digit, wanted.predictions[0].refused)


async def test_a_blank_picture_has_no_lines_and_says_that_it_is_blank(stub: DigitClassifierStub) -> None:
    response = await read(stub, BLANK)
    assert list(response.lines) == []
    assert response.model_version >= 1
    assert (response.width, response.height) == (60, 40)
    assert digits_pb2.QUALITY_BLANK in response.quality


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (digits_pb2.ReadRequest(), "INVALID_ARGUMENT"),
        (digits_pb2.ReadRequest(picture=b"no picture"), "INVALID_ARGUMENT"),
        (digits_pb2.ReadRequest(picture=LINE[: len(LINE) // 2]), "INVALID_ARGUMENT"),
        (digits_pb2.ReadRequest(picture=bytes(784)), "INVALID_ARGUMENT"),
        (digits_pb2.ReadRequest(picture=bytes(9 * 2**20)), "INVALID_ARGUMENT"),
        (digits_pb2.ReadRequest(picture=LINE, layout=77), "INVALID_ARGUMENT"),  # type: ignore[arg-type]  # unknown
        (digits_pb2.ReadRequest(picture=LINE, layout=-1), "INVALID_ARGUMENT"),  # type: ignore[arg-type]  # unknown
        (digits_pb2.ReadRequest(picture=LINE, model_version=9), "NOT_FOUND"),
    ],
    ids=["empty", "garbage", "truncated", "pixels", "too long", "layout", "negative layout", "version"],
)
async def test_what_cannot_be_read_is_refused(
    trained: Standalone, stub: DigitClassifierStub, request_: digits_pb2.ReadRequest, code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Read(request_)
    assert raised.value.code().name == code
    assert trained.server.images_in_flight == 0


async def test_bytes_that_are_no_message_are_the_callers_fault(trained: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trained.grpc_port}") as channel:
        read_bytes: Any = channel.unary_unary("/mnist.v1.DigitClassifier/Read")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read_bytes(b"\xff")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_too_many_pixels_are_refused_before_they_are_decoded(start_server: StartServer) -> None:
    async with (
        start_server(max_image_pixels=1000) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await DigitClassifierStub(channel).Read(digits_pb2.ReadRequest(picture=LINE))
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "86 x 48" in (raised.value.details() or "")


async def test_read_honours_deadlines_and_callers_who_leave(trained: Standalone, stub: DigitClassifierStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Read(digits_pb2.ReadRequest(picture=LINE), timeout=0.0005)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    left = asyncio.ensure_future(stub.Read(digits_pb2.ReadRequest(picture=LINE)))
    await asyncio.sleep(0)
    left.cancel()
    assert [line.text for line in (await read(stub, LINE)).lines] == ["31"]
    async with asyncio.timeout(10):
        while trained.server.images_in_flight:  # the room is given back
            await asyncio.sleep(0)


async def test_the_stages_of_a_call_are_in_its_trailing_metadata(stub: DigitClassifierStub) -> None:
    call = stub.Read(digits_pb2.ReadRequest(picture=LINE), metadata=[("mnist-stages", "1")])
    await call
    timing = dict(await call.trailing_metadata())["server-timing"]
    assert 'batch;desc="2"' in timing
    assert "decode;dur=0.000" not in timing


async def test_http_and_grpc_read_alike(trained: Standalone, stub: DigitClassifierStub) -> None:
    wanted = await read(stub, LINE, layout=digits_pb2.LAYOUT_LINE)
    form = aiohttp.FormData()
    form.add_field("file", LINE, filename="line.png")
    encoded = b64encode(LINE).decode()
    bodies: list[Any] = [LINE, form, json.dumps({"image": encoded}), f"data:image/png;base64,{encoded}"]
    async with web(trained.http_port) as caller:
        for body in bodies:
            status, reading, _ = await caller.post("/v1/read?layout=line", body)
            assert status == 200
            jsonschema.validate(reading, {"$ref": "#/components/schemas/Reading", **DESCRIPTION})
            assert list(reading) == ["lines", "model_version", "quality", "width", "height"]
            assert (reading["width"], reading["height"]) == (86, 48)
            assert reading["model_version"] == wanted.model_version
            [line], [message] = reading["lines"], wanted.lines
            assert list(line) == ["text", "probability", "refused", "digits"]
            assert (line["text"], line["refused"]) == (message.text, message.refused)
            assert line["probability"] == pytest.approx(message.probability)
            for digit, glyph in zip(line["digits"], message.digits, strict=True):
                box = glyph.box
                assert digit == {
                    "digit": glyph.digit,
                    "probability": pytest.approx(glyph.probability),
                    "novelty": pytest.approx(glyph.novelty),
                    "refused": glyph.refused,
                    "box": [box.x, box.y, box.width, box.height],
                }
        metrics = await caller.metrics()
    assert metrics['mnist_http_requests_total{code="OK",method="Read"}'] == len(bodies)


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ("", b"", 400, "the body is empty"),
        ("", b"no picture", 400, "not an image"),
        ("", bytes(784), 400, "expected a picture file"),
        ("", json.dumps([0] * 784).encode(), 400, "expected a picture file"),
        ("", json.dumps({"images": ["AAAA", "AAAA"]}).encode(), 400, "2 images, 1 is accepted"),
        ("?layout=word", LINE, 400, "layout: expected one of auto, digit, line, page"),
        ("?layout=1", LINE, 400, "layout"),
        ("?layout=", LINE, 400, "layout"),
        ("?layout=" + "x" * 2000, LINE, 400, "the query is longer"),
        ("?model_version=9", LINE, 404, "version 9"),
        ("", bytes(50_001), 413, "longer than"),
    ],
)
async def test_http_refuses_what_cannot_be_read(
    start_server: StartServer, query: str, body: bytes, status: int, message: str
) -> None:
    async with start_server(max_image_bytes=50_000) as server, web(server.http_port) as caller:
        answered, error, _ = await caller.post(f"/v1/read{query}", body)
        assert answered == status
        assert message in error["message"]


async def test_picture_that_the_server_never_has_room_for_says_so(start_server: StartServer) -> None:
    settings = {"model_repository": ROOT / "models", "queue_capacity_images": 8, "max_images_per_request": 8}
    async with start_server(**settings) as server, web(server.http_port) as caller:
        status, error, _ = await caller.post("/v1/read", picture_of("3141592653"))
        assert (status, error["code"]) == (400, "INVALID_ARGUMENT")
        assert "send a part of it" in error["message"]
        assert (await caller.post("/v1/read", picture_of("3")))[0] == 200
        assert server.server.images_in_flight == 0


async def test_rates_count_every_candidate(
    start_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.toml"
    assert run_command(keys, ["new", "slow", "--images-per-second", "0.01", "--file", str(file)]) == 0
    headers = {"X-Api-Key": capsys.readouterr().out.strip()}
    async with start_server(model_repository=ROOT / "models", api_keys=file) as server, web(server.http_port) as caller:
        status, error, _ = await caller.post("/v1/read", picture_of("31415"), headers)
        assert (status, error["code"]) == (400, "INVALID_ARGUMENT")
        assert "key slow may ask for 0.01 images a second, and for at most 1 image at once" in error["message"]
        status, _, headers = await caller.post("/v1/read", LINE, headers)
        assert status == 429  # the picture was decoded, for which it pays as for one image
        assert 49 <= int(headers["Retry-After"]) <= 150  # a hundred seconds, with jitter


async def test_reads_are_in_the_access_log(start_server: StartServer, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    settings = {"model_repository": ROOT / "models", "access_log": True, "log_format": "json"}
    async with start_server(**settings) as server, web(server.http_port) as caller:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            await DigitClassifierStub(channel).Read(digits_pb2.ReadRequest(picture=LINE))
        await caller.post("/v1/read", b"no picture")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    rpcs = [(event["method"], event["code"]) for event in events if event["event"] == "rpc"]
    assert rpcs == [("Read", "OK"), ("HTTP Read", "INVALID_ARGUMENT")]


async def test_connect_reads_as_json(trained: Standalone) -> None:
    body = json.dumps({"picture": b64encode(LINE).decode(), "layout": "LAYOUT_LINE"}).encode()
    async with web(trained.http_port) as caller:
        headers = {"Content-Type": "application/json"}
        status, reading, _ = await caller.post("/mnist.v1.DigitClassifier/Read", body, headers)
    assert (status, [line["text"] for line in reading["lines"]]) == (200, ["31"])


async def test_read_needs_the_key_that_classify_needs(
    start_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.toml"
    assert run_command(keys, ["new", "reader", "--file", str(file)]) == 0
    key = capsys.readouterr().out.strip()
    settings = {"model_repository": ROOT / "models", "api_keys": file}
    async with start_server(**settings) as server, web(server.http_port) as caller:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub, request = DigitClassifierStub(channel), digits_pb2.ReadRequest(picture=LINE)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Read(request)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert (await stub.Read(request, metadata=[("x-api-key", key)])).lines
        assert (await caller.post("/v1/read", LINE))[0] == 401
        assert (await caller.post("/v1/read", LINE, {"X-Api-Key": key}))[0] == 200
