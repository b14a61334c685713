"""Feedback over gRPC and HTTP: taken, corrected, refused, counted, and never in the way of an answer."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.integration.serving.auth.test_api_keys import MakeKey, file, make_key  # noqa: F401  # fixtures
from tests.support.feedback import PATH, code_of, feedback, images, kept, stub_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import Web, web


async def test_a_grpc_caller_gives_feedback_and_corrects_it(stub: DigitClassifierStub, store: Path) -> None:
    assert (await stub.GetModel(digits_pb2.GetModelRequest())).takes_feedback
    answer = await stub.Classify(images(4, 5, 6))
    assert len(answer.predictions) == 3
    response = await stub.Feedback(feedback(answer.request_id, 1, 7))
    assert (response.digit, response.refused, response.model_version) == (5, False, 1)
    assert kept(store) == {(answer.request_id, 1): (5, 7, image_of(5))}
    await stub.Feedback(feedback(answer.request_id, 1, None))
    await stub.Feedback(feedback(answer.request_id, 0, 0))
    found = {index: row[:2] for (_, index), row in kept(store).items()}
    assert found == {0: (4, 0), 1: (5, -1)}


async def test_the_id_of_the_caller_names_the_request(stub: DigitClassifierStub, store: Path) -> None:
    answer = await stub.Classify(images(4), metadata=[("x-request-id", "form-17")])
    assert answer.request_id == "form-17"
    await stub.Feedback(feedback("form-17", 0, 9))
    assert list(kept(store)) == [("form-17", 0)]


async def test_each_request_of_a_stream_has_an_id(stub: DigitClassifierStub, store: Path) -> None:
    requests = [digits_pb2.ClassifyStreamRequest(id=number, request=images(number)) for number in (1, 2)]
    answers = {}
    async for response in stub.ClassifyStream(iter(requests), metadata=[("x-request-id", "mine")]):
        answers[response.id] = response.response.request_id
    assert answers == {1: "mine:1", 2: "mine:2"}
    await stub.Feedback(feedback("mine:2", 0, 8))
    assert kept(store)[("mine:2", 0)][:2] == (2, 8)


async def test_feedback_by_http_is_that_by_grpc(caller: Web, stub: DigitClassifierStub, store: Path) -> None:
    status, answer, headers = await caller.classify(image_of(3))
    request_id = answer["request_id"]
    assert {name.lower(): value for name, value in headers.items()}["x-request-id"] == request_id
    status, response, _ = await caller.post(PATH, json.dumps({"request_id": request_id, "digit": 8}))
    assert (status, response) == (200, {"digit": 3, "refused": False, "model_version": 1})
    await stub.Feedback(feedback(request_id, 0, 9))
    assert kept(store)[(request_id, 0)][:2] == (3, 9)


async def test_a_picture_and_the_other_protocols_take_feedback_too(caller: Web, store: Path) -> None:
    picture = (ROOT / "samples/tiny-6.png").read_bytes()
    bodies: list[tuple[str, Any]] = [
        ("/v1/classify", picture),
        ("/v2/models/mnist/infer", json.dumps({"inputs": [
            {"name": "pixels", "shape": [1, 784], "datatype": "UINT8", "data": list(image_of(5))}
        ]})),
        ("/v1/models/mnist:predict", json.dumps({"instances": [list(image_of(5))]})),
    ]  # fmt: skip
    for number, (path, body) in enumerate(bodies):
        status, answer, _ = await caller.post(path, body, {"x-request-id": f"r{number}"})
        assert status == 200, answer
        status, answer, _ = await caller.post(PATH, json.dumps({"request_id": f"r{number}", "digit": 1}))
        assert status == 200, answer
    assert sorted(kept(store)) == [("r0", 0), ("r1", 0), ("r2", 0)]


async def test_an_explained_image_takes_feedback_over_grpc_and_http(start_server: StartServer, store: Path) -> None:
    pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"][0].tobytes()
    request = digits_pb2.ExplainRequest(image=digits_pb2.Image(pixels=pixels), without_kernels=True)
    async with (
        start_server(model_repository=ROOT / "models", store=store) as server,
        stub_of(server.grpc_port) as stub,
        web(server.http_port) as caller,
    ):
        explained = await stub.Explain(request)
        digit = explained.prediction.digit
        assert (await stub.Feedback(feedback(explained.request_id, 0, 9 - digit))).digit == digit
        status, answer, _ = await caller.post("/v1/explain?kernels=0", pixels)
        assert (status, answer["prediction"]["digit"]) == (200, digit)
        truth = {"request_id": answer["request_id"], "digit": digit}
        assert (await caller.post(PATH, json.dumps(truth)))[0] == 200
    assert kept(store) == {
        (explained.request_id, 0): (digit, 9 - digit, pixels),
        (answer["request_id"], 0): (digit, digit, pixels),
    }


async def test_requests_of_a_stream_of_the_other_protocol_have_their_own_id(server: Standalone, store: Path) -> None:
    tensor = open_inference_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])
    request = open_inference_pb2.ModelInferRequest(
        model_name="mnist", id="seven", inputs=[tensor], raw_input_contents=[image_of(7)]
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        call = infer(iter([request.SerializeToString()]), metadata=[("x-request-id", "mine")])
        assert len([answer async for answer in call]) == 1
        await DigitClassifierStub(channel).Feedback(feedback("mine:seven", 0, 1))
    assert kept(store)[("mine:seven", 0)][:2] == (7, 1)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (digits_pb2.FeedbackRequest(request_id="x", digit=1), "NOT_FOUND"),
        (digits_pb2.FeedbackRequest(digit=1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x"), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", no_digit=False), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", digit=10), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", digit=-1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", digit=1, index=-1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x" * 129, digit=1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x'; DROP TABLE pictures", digit=1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="\n", digit=1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x" * 1_000_000, digit=1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="31"), "NOT_FOUND"),
        (digits_pb2.FeedbackRequest(request_id="x", text="1" * 128, index=2**31 - 1), "NOT_FOUND"),
        (digits_pb2.FeedbackRequest(request_id="x", text=""), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="1" * 129), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="1" * 1_000_000), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="3 1"), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="-1"), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="٣١"), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="²"), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(request_id="x", text="31", index=-1), "INVALID_ARGUMENT"),
        (digits_pb2.FeedbackRequest(text="31"), "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_no_feedback_is_refused(
    stub: DigitClassifierStub, message: digits_pb2.FeedbackRequest, code: str
) -> None:
    assert await code_of(stub.Feedback(message)) == code


@pytest.mark.parametrize(
    "body",
    [
        *("", "7", "[]", "{}", "{" * 4000, '{"request_id": "x"}', '{"request_id": "x", "digit": "7"}'),
        *('{"request_id": "x", "digit": true}', '{"request_id": "x", "digit": 1.0}', '{"request_id": 1, "digit": 1}'),
        '{"request_id": "x", "digit": 1, "no_digit": true}',
        '{"request_id": "x", "digit": 1, "index": 1e99}',
        '{"request_id": "x", "digit": 1, "index": 99999999999999999999}',
        '{"request_id": "x", "digit": 1, "more": 1}',
        *('{"request_id": "x", "text": 31}', '{"request_id": "x", "text": ""}', '{"request_id": "x", "text": ["3"]}'),
        *('{"request_id": "x", "text": "3x"}', '{"request_id": "x", "text": "\\ud800"}', '{"text": "31"}'),
        '{"request_id": "x", "text": "31", "digit": 3}',
        '{"request_id": "x", "text": "31", "no_digit": true}',
        '{"request_id": "x", "text": "31", "index": -1}',
        b"\xff\xfe",
    ],
)
async def test_what_is_no_feedback_in_json_is_refused(caller: Web, body: object) -> None:
    status, answer, _ = await caller.post(PATH, body)
    assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")


async def test_a_long_body_is_refused(caller: Web) -> None:
    assert (await caller.post(PATH, b" " * 5000))[0] == 413


async def test_without_a_store_there_is_no_feedback(start_server: StartServer) -> None:
    async with start_server() as server, stub_of(server.grpc_port) as stub, web(server.http_port) as caller:
        answer = await stub.Classify(images(1))
        assert answer.request_id == ""
        assert not (await stub.GetModel(digits_pb2.GetModelRequest())).takes_feedback
        assert "request_id" not in (await caller.classify(image_of(1)))[1]
        assert await code_of(stub.Feedback(feedback("x", 0, 1))) == "UNIMPLEMENTED"
        assert (await caller.post(PATH, json.dumps({"request_id": "x", "digit": 1})))[0] == 501


async def test_refused_and_unsure_pictures_are_kept_where_the_operator_wants_them(
    start_server: StartServer, store: Path
) -> None:
    noise = bytes(300) + b"\xff" + bytes(483)  # ink where the tiny model sees none
    settings = {"store": store, "store_keep": "refused,unsure", "store_unsure_below": 1.0}
    async with start_server(**settings) as server, web(server.http_port) as caller:
        for number, pixels in enumerate((noise, image_of(3), bytes(784))):
            _, answer, _ = await caller.post("/v1/classify", pixels, {"x-request-id": str(number)})
            assert "request_id" not in answer
    reasons = {}
    with closing(sqlite3.connect(store)) as connection:
        for request_id, reason, refusal in connection.execute("SELECT request_id, reason, refusal FROM pictures"):
            reasons[request_id] = reason
            assert (reason == "refused") == (refusal != 0)
    assert set(reasons) == {"0", "1"}  # a blank picture shows nothing


async def test_keys_give_feedback_on_their_own_requests_and_within_their_rate(
    start_server: StartServer,
    store: Path,
    file: Path,  # noqa: F811
    make_key: MakeKey,  # noqa: F811
) -> None:
    mine, other = make_key("mine", "--images-per-second", "3"), make_key("other")
    admin = make_key("admin", "--scopes", "admin")
    async with start_server(store=store, api_keys=file) as server, stub_of(server.grpc_port) as stub:
        keyed = {key: [("x-api-key", key)] for key in (mine, other, admin)}
        answer = await stub.Classify(images(4), metadata=keyed[mine])
        give = feedback(answer.request_id, 0, 9)
        assert await code_of(stub.Feedback(give)) == "UNAUTHENTICATED"
        assert await code_of(stub.Feedback(give, metadata=keyed[admin])) == "PERMISSION_DENIED"
        assert await code_of(stub.Feedback(give, metadata=keyed[other])) == "NOT_FOUND"
        assert await code_of(stub.Feedback(give, metadata=keyed[mine])) == "OK"
        codes = [await code_of(stub.Feedback(give, metadata=keyed[mine])) for _ in range(10)]
        assert "RESOURCE_EXHAUSTED" in codes
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT caller FROM pictures").fetchall() == [("mine",)]


async def test_feedback_is_counted_by_truth_outcome_and_probability(caller: Web, stub: DigitClassifierStub) -> None:
    answer = await stub.Classify(images(4, 5, 6))
    for index, truth in ((0, 4), (1, 8), (2, None), (1, 8), (1, 5)):  # the last two correct the second
        await stub.Feedback(feedback(answer.request_id, index, truth))
    metrics = await caller.metrics()
    given = {name: value for name, value in metrics.items() if name.startswith("mnist_feedback_total") and value}
    assert given == {
        'mnist_feedback_total{outcome="right",truth="4"}': 1,
        'mnist_feedback_total{outcome="wrong",truth="8"}': 1,
        'mnist_feedback_total{outcome="wrong",truth="none"}': 1,
    }
    sure = [prediction.probability for prediction in answer.predictions]
    judged = [value for name, value in metrics.items() if name.startswith("mnist_feedback_answers_total")]
    assert sum(judged) == 3
    total = sum(value for name, value in metrics.items() if name.startswith("mnist_feedback_probability_total"))
    assert total == pytest.approx(sum(sure))
    squares = (1 - sure[0]) ** 2 + sure[1] ** 2 + sure[2] ** 2
    assert metrics["mnist_feedback_squared_error_total"] == pytest.approx(squares)
