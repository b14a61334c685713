"""A picture of several digits is refused with a reason of its own, by every contract and on both engines."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.support.pictures import picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.web import web

ONE, SEVERAL = picture_of("7"), picture_of("31")
DESCRIPTION = json.loads((ROOT / "serving" / "api" / "digits" / "openapi.json").read_text())
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=["completion-queue", "aio"])
async def trusting(
    start_server: StartServer, trusting_repository: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=trusting_repository, grpc_engine=request.param) as server:
        yield server


@pytest.fixture
async def connected(trusting: Standalone) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trusting.grpc_port}") as channel:
        yield channel


def refused(server: Standalone, reason: str) -> float | None:
    return server.server.metrics.registry.get_sample_value("mnist_refused_total", {"reason": reason})


async def test_grpc_refuses_that_picture_alone_and_counts_it(trusting: Standalone, connected: grpc.aio.Channel) -> None:
    stub = DigitClassifierStub(connected)
    assert refused(trusting, "several_glyphs") == 0
    images = [digits_pb2.Image(encoded=picture) for picture in (ONE, SEVERAL, ONE)]
    request = digits_pb2.ClassifyRequest(images=images)
    stream = stub.ClassifyStream(iter([digits_pb2.ClassifyStreamRequest(id=1, request=request)]))
    for response in (await stub.Classify(request), (await stream.read()).response):
        assert [prediction.refused for prediction in response.predictions] == [False, True, False]
        first, second, third = response.predictions
        assert (first.digit, third.digit) == (7, 7)
        assert second.refusal == digits_pb2.REFUSAL_SEVERAL_GLYPHS
        assert list(second.quality) == [digits_pb2.QUALITY_SEVERAL_GLYPHS]
        assert second.probability == max(second.probabilities) == second.probabilities[second.digit]
    assert refused(trusting, "several_glyphs") == 2
    assert refused(trusting, "novel") == 0


async def test_explain_refuses_it_as_classify_does(trusting: Standalone, connected: grpc.aio.Channel) -> None:
    explained = await DigitClassifierStub(connected).Explain(
        digits_pb2.ExplainRequest(image=digits_pb2.Image(encoded=SEVERAL), without_kernels=True), timeout=30
    )
    assert explained.prediction.refused
    assert explained.prediction.refusal == digits_pb2.REFUSAL_SEVERAL_GLYPHS
    assert refused(trusting, "several_glyphs") == 1


async def test_read_reads_it_and_refuses_nothing(trusting: Standalone, connected: grpc.aio.Channel) -> None:
    request = digits_pb2.ReadRequest(picture=SEVERAL, layout=digits_pb2.LAYOUT_LINE)
    response = await DigitClassifierStub(connected).Read(request, timeout=30)
    assert [line.text for line in response.lines] == ["31"]
    assert refused(trusting, "several_glyphs") == 0


async def test_the_open_inference_protocol_says_refused(connected: grpc.aio.Channel) -> None:
    inference: Any = GRPCInferenceServiceStub(connected)
    tensor = protocol.ModelInferRequest.InferInputTensor(name="pixels", datatype="BYTES", shape=[3, 1])
    raw = b"".join(len(file).to_bytes(4, "little") + file for file in (ONE, SEVERAL, ONE))
    request = protocol.ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[raw])
    response = await inference.ModelInfer(request)
    raw_outputs = zip(response.outputs, response.raw_output_contents, strict=True)
    values = {output.name: raw_output for output, raw_output in raw_outputs}
    assert np.frombuffer(values["refused"], "?").tolist() == [False, True, False]
    assert np.frombuffer(values["digit"], "<i8")[[0, 2]].tolist() == [7, 7]


async def test_http_refuses_it_by_name(start_server: StartServer, trusting_repository: Path) -> None:
    async with start_server(model_repository=trusting_repository) as server, web(server.http_port) as caller:
        status, answer, _ = await caller.classify(SEVERAL)
        assert status == 200
        assert (answer["refused"], answer["refusal"], answer["quality"]) == (True, "several_glyphs", ["several_glyphs"])
        pictures = [b64encode(picture).decode() for picture in (ONE, SEVERAL)]
        _, answer, _ = await caller.classify(json.dumps({"images": pictures}), JSON)
        assert [each["refusal"] for each in answer["predictions"]] == [None, "several_glyphs"]
        _, answer, _ = await caller.post("/v1/explain?kernels=0", SEVERAL)
        assert answer["prediction"]["refusal"] == "several_glyphs"
        instances = json.dumps({"instances": [{"b64": picture} for picture in pictures]})
        _, answer, _ = await caller.post("/v1/models/mnist:predict", instances, JSON)
        assert [each["refused"] for each in answer["predictions"]] == [False, True]
        assert (await caller.metrics())['mnist_refused_total{reason="several_glyphs"}'] == 4


def test_the_description_lists_every_reason_for_a_refusal() -> None:
    described = DESCRIPTION["components"]["schemas"]["Prediction"]["properties"]["refusal"]["enum"]
    names = [name.removeprefix("REFUSAL_").lower() for name in digits_pb2.Refusal.keys()[1:]]  # the first: not refused
    assert described == [*names, None]
