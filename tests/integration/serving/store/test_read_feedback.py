"""Feedback on what Read has answered, over gRPC and HTTP: on a sign by its index, and on a line by its text."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import numpy as np
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.commands.store import store as store_command
from serving.image.picture import ImageLimits
from serving.image.segmentation.segmentation import segment
from serving.models.column_network import ColumnNetwork
from serving.options import run_command
from serving.process.standalone import Standalone
from serving.readings import Layout
from tests.integration.serving.auth.test_api_keys import MakeKey, file, make_key  # noqa: F401  # fixtures
from tests.support.feedback import PATH, code_of, feedback, images, kept, stub_of, text_feedback
from tests.support.pictures import picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.web import Web, web

MODELS = ROOT / "models"
PAGE = digits_pb2.ReadRequest(picture=picture_of("314", "27"), layout=digits_pb2.LAYOUT_PAGE)
DESCRIPTION = json.loads((ROOT / "serving" / "api" / "digits" / "openapi.json").read_text())


@pytest.fixture
async def server(start_server: StartServer, store: Path) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=MODELS, store=store) as running:
        yield running


def truths(store: Path) -> dict[int, tuple[int, int]]:
    """Digit and truth by index."""
    return {index: row[:2] for (_, index), row in sorted(kept(store).items())}


async def test_signs_are_counted_through_all_lines_and_their_pixels_are_what_the_network_saw(
    stub: DigitClassifierStub, store: Path
) -> None:
    answer = await stub.Read(PAGE, metadata=[("x-request-id", "form-17")])
    assert answer.request_id == "form-17"
    assert [line.text for line in answer.lines] == ["314", "27"]
    response = await stub.Feedback(feedback("form-17", 3, 7))
    assert (response.digit, response.refused, response.model_version) == (2, False, answer.model_version)
    assert response.text == ""
    await stub.Feedback(feedback("form-17", 0, None))
    assert truths(store) == {0: (3, -1), 3: (2, 7)}
    found = segment(PAGE.picture, ImageLimits(2**20, 10**6), Layout.PAGE, ColumnNetwork())
    seen = {tuple(box): pixels.tobytes() for box, pixels in zip(found.boxes.tolist(), found.pixels, strict=True)}
    glyphs = [glyph for line in answer.lines for glyph in line.digits]
    for (_, index), (digit, _, pixels) in kept(store).items():
        glyph = glyphs[index]
        assert glyph.digit == digit
        assert pixels == seen[glyph.box.x, glyph.box.y, glyph.box.width, glyph.box.height]
    assert await code_of(stub.Feedback(feedback("form-17", 5, 7))) == "NOT_FOUND"


async def test_a_text_is_taken_for_each_digit_of_its_line_and_exported_like_any_picture(
    stub: DigitClassifierStub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await stub.Read(PAGE)
    response = await stub.Feedback(text_feedback(answer.request_id, 0, "374"))
    assert (response.text, response.model_version) == ("314", answer.model_version)
    assert (response.digit, response.refused) == (0, False)
    assert truths(store) == {0: (3, 3), 1: (1, 7), 2: (4, 4)}
    await stub.Feedback(text_feedback(answer.request_id, 0, "314"))
    await stub.Feedback(text_feedback(answer.request_id, 1, "27"))
    assert truths(store) == {0: (3, 3), 1: (1, 1), 2: (4, 4), 3: (2, 2), 4: (7, 7)}
    assert run_command(store_command, ["export", str(store), str(tmp_path / "digits.npz")]) == 0
    capsys.readouterr()
    with np.load(tmp_path / "digits.npz") as exported:
        assert sorted(exported["truth"].tolist()) == [1, 2, 3, 4, 7]
        assert exported["pixels"].shape == (5, 784)


@pytest.mark.parametrize("text", ["3", "31", "3141"])
async def test_a_text_of_another_number_of_digits_is_refused_and_says_so(
    stub: DigitClassifierStub, caller: Web, store: Path, text: str
) -> None:
    answer = await stub.Read(PAGE)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Feedback(text_feedback(answer.request_id, 0, text))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"text: expected as many digits as the text that was answered has, 3, got {len(text)}" in str(raised.value)
    status, error, _ = await caller.post(PATH, json.dumps({"request_id": answer.request_id, "text": text}))
    assert (status, error["code"]) == (400, "INVALID_ARGUMENT")
    assert "got" in error["message"]
    assert kept(store) == {}


async def test_a_line_that_is_none_and_an_image_of_classify_take_no_text(stub: DigitClassifierStub) -> None:
    answer = await stub.Read(PAGE)
    assert await code_of(stub.Feedback(text_feedback(answer.request_id, 2, "27"))) == "NOT_FOUND"
    assert await code_of(stub.Feedback(text_feedback(answer.request_id, 2**31 - 1, "27"))) == "NOT_FOUND"
    blank = digits_pb2.ReadRequest(picture=picture_of(""))
    assert await code_of(stub.Feedback(text_feedback((await stub.Read(blank)).request_id, 0, "1"))) == "NOT_FOUND"
    classified = await stub.Classify(images(4, 5))
    for text in ("4", "45"):
        assert await code_of(stub.Feedback(text_feedback(classified.request_id, 0, text))) == "NOT_FOUND"


async def test_feedback_by_http_is_that_by_grpc(caller: Web, stub: DigitClassifierStub, store: Path) -> None:
    status, reading, headers = await caller.post("/v1/read?layout=page", PAGE.picture)
    assert status == 200
    jsonschema.validate(reading, {"$ref": "#/components/schemas/Reading", **DESCRIPTION})
    request_id = reading["request_id"]
    assert {name.lower(): value for name, value in headers.items()}["x-request-id"] == request_id
    given: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"text": "29", "index": 1}, {"text": "27"}),
        ({"digit": 4, "index": 2}, {"digit": 4, "refused": False}),
        ({"no_digit": True}, {"digit": 3, "refused": False}),
    ]
    for truth, wanted in given:
        body = {"request_id": request_id, **truth}
        jsonschema.validate(body, {"$ref": "#/components/schemas/Feedback", **DESCRIPTION})
        status, response, _ = await caller.post(PATH, json.dumps(body))
        assert (status, response) == (200, {**wanted, "model_version": reading["model_version"]})
        jsonschema.validate(response, {"$ref": "#/components/schemas/FeedbackTaken", **DESCRIPTION})
    await stub.Feedback(text_feedback(request_id, 1, "28"))
    assert truths(store) == {0: (3, -1), 2: (4, 4), 3: (2, 2), 4: (7, 8)}


async def test_without_a_store_a_reading_has_no_id(start_server: StartServer) -> None:
    async with (
        start_server(model_repository=MODELS) as server,
        stub_of(server.grpc_port) as stub,
        web(server.http_port) as caller,
    ):
        assert (await stub.Read(PAGE, metadata=[("x-request-id", "mine")])).request_id == ""
        assert "request_id" not in (await caller.post("/v1/read", PAGE.picture))[1]
        assert await code_of(stub.Feedback(text_feedback("mine", 0, "314"))) == "UNIMPLEMENTED"
        assert (await caller.post(PATH, json.dumps({"request_id": "mine", "text": "314"})))[0] == 501


async def test_what_a_reading_refuses_or_is_unsure_of_is_kept_by_feedback_alone(
    start_server: StartServer, store: Path
) -> None:
    settings = {"store": store, "store_keep": "refused,unsure", "store_unsure_below": 1.0}
    async with start_server(model_repository=MODELS, **settings) as server, stub_of(server.grpc_port) as stub:
        assert (await stub.Read(PAGE)).request_id == ""
    assert kept(store) == {}


async def test_a_key_gives_feedback_on_its_own_readings_alone(
    start_server: StartServer,
    store: Path,
    file: Path,  # noqa: F811
    make_key: MakeKey,  # noqa: F811
) -> None:
    keyed = {name: [("x-api-key", make_key(name))] for name in ("mine", "other")}
    settings = {"model_repository": MODELS, "store": store, "api_keys": file}
    async with start_server(**settings) as server, stub_of(server.grpc_port) as stub:
        answer = await stub.Read(PAGE, metadata=keyed["mine"])
        for give in (text_feedback(answer.request_id, 1, "27"), feedback(answer.request_id, 0, 9)):
            assert await code_of(stub.Feedback(give)) == "UNAUTHENTICATED"
            assert await code_of(stub.Feedback(give, metadata=keyed["other"])) == "NOT_FOUND"
            assert await code_of(stub.Feedback(give, metadata=keyed["mine"])) == "OK"
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT DISTINCT caller FROM pictures").fetchall() == [("mine",)]


async def test_each_digit_of_a_text_is_counted_once(caller: Web, stub: DigitClassifierStub) -> None:
    answer = await stub.Read(PAGE)
    for text in ("374", "314", "999"):  # the last two correct the first
        await stub.Feedback(text_feedback(answer.request_id, 0, text))
    metrics = await caller.metrics()
    given = {name: value for name, value in metrics.items() if name.startswith("mnist_feedback_total") and value}
    assert given == {
        'mnist_feedback_total{outcome="right",truth="3"}': 1,
        'mnist_feedback_total{outcome="wrong",truth="7"}': 1,
        'mnist_feedback_total{outcome="right",truth="4"}': 1,
    }
    total = sum(value for name, value in metrics.items() if name.startswith("mnist_feedback_probability_total"))
    assert total == pytest.approx(sum(glyph.probability for glyph in answer.lines[0].digits))
