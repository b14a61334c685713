"""Spans that a collector receives: whose they are, what they say, and how the stages of a request follow each other."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise

import aiohttp
import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from protos.inference import open_inference_pb2
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.logging import configure_logging
from serving.process.standalone import Standalone
from serving.traces.tracer import LONGEST_PATH, MOST_PARTS
from tests.support.collector import Collector, attributes_of, collector
from tests.support.pictures import picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import web

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
RAW = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(3))] * 2)
CLASSIFY = "mnist.v1.DigitClassifier/Classify"
RAN = ["queue", "infer", "answer"]
Traced = Callable[..., AbstractAsyncContextManager[Standalone]]


@pytest.fixture
def received() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def traced(start_server: StartServer, received: Collector, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """Starts a server that sends its traces; all have come once it has ended."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)

    @asynccontextmanager
    async def start(sampler: str = "", share: str = "", **settings: object) -> AsyncIterator[Standalone]:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
        async with start_server(traces=True, **settings) as server:
            yield server

    return start


def stub(server: Standalone) -> tuple[grpc.aio.Channel, DigitClassifierStub]:
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")
    return channel, DigitClassifierStub(channel)


async def classify(server: Standalone, traceparent: str = "", request: digits_pb2.ClassifyRequest = RAW) -> None:
    channel, calls = stub(server)
    async with channel:
        await calls.Classify(request, metadata=[("traceparent", traceparent)] if traceparent else [])


def stages_of(received: Collector, span: Span) -> list[str]:
    """Names of a request's stages, which follow one another without a gap from its beginning to its end."""
    stages = received.under(span)
    assert stages[0].start_time_unix_nano == span.start_time_unix_nano
    assert stages[-1].end_time_unix_nano == span.end_time_unix_nano
    for stage, following in pairwise(stages):
        assert stage.end_time_unix_nano == following.start_time_unix_nano
    for stage in stages:
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert (stage.trace_id, stage.kind) == (span.trace_id, Span.SPAN_KIND_INTERNAL)
    return [stage.name for stage in stages]


async def test_a_call_continues_the_trace_of_its_caller(traced: Traced, received: Collector) -> None:
    async with traced() as server:
        await classify(server, SAMPLED)
    [span] = received.whole()
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (CLASSIFY, TRACE, PARENT)
    assert stages_of(received, span) == ["receive", "admit", *RAN]
    assert attributes_of(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": CLASSIFY,
        "rpc.response.status_code": "OK",
        "mnist.model": "mnist",
        "mnist.model.version": 1,
        "mnist.images": 2,
        "mnist.request_id": f"{TRACE}-{PARENT}",
    }
    infer = received.under(span)[3]
    assert attributes_of(infer.attributes) == {"mnist.batch.images": 2}
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert received.resources[0]["service.name"] == "mnist-digits"


async def test_a_picture_by_http_has_its_own_stages(traced: Traced, received: Collector) -> None:
    picture = (ROOT / "samples" / "tiny-6.png").read_bytes()
    async with traced() as server, web(server.http_port) as caller:
        status, _, headers = await caller.classify(picture, {"traceparent": SAMPLED, "x-request-id": "mine"})
        assert (status, {name.lower(): value for name, value in headers.items()}["x-request-id"]) == (200, "mine")
    [span] = received.whole()
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("POST /v1/classify", TRACE, PARENT)
    assert stages_of(received, span) == ["receive", "admit", "decode_queue", "decode", "frame", *RAN]
    assert attributes_of(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "url.path": "/v1/classify",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "mnist.model": "mnist",
        "mnist.model.version": 1,
        "mnist.images": 1,
        "mnist.request_id": "mine",
    }


async def test_a_long_path_is_cut(traced: Traced, received: Collector) -> None:
    async with traced() as server, web(server.http_port) as caller:
        assert (await caller.post(f"/v2/models/{'m' * 30_000}/infer", b"{}"))[0] == 404
    [span] = received.whole()
    assert span.name == "POST /v2/models/{name}/infer"
    assert len(attributes_of(span.attributes)["url.path"]) == LONGEST_PATH


async def test_a_call_of_a_browser_is_the_same_call(traced: Traced, received: Collector) -> None:
    headers = {"Content-Type": "application/proto", "traceparent": SAMPLED}
    async with traced() as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.http_port}/{CLASSIFY}"
        async with session.post(url, data=RAW.SerializeToString(), headers=headers) as response:
            assert response.status == 200
    [span] = received.whole()
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (CLASSIFY, TRACE, PARENT)
    assert stages_of(received, span) == ["receive", "admit", *RAN]


async def test_the_route_of_a_path_with_parameters_has_their_names(traced: Traced, received: Collector) -> None:
    async with traced() as server, web(server.http_port) as caller:
        body = json.dumps({"instances": [[0] * 784]})
        status, _, _ = await caller.post("/v1/models/mnist:predict", body)
        assert status == 200
    [span] = received.whole()
    attributes = attributes_of(span.attributes)
    assert (attributes["http.route"], attributes["url.path"]) == (
        "/v1/models/{name}:predict",
        "/v1/models/mnist:predict",
    )


@pytest.mark.parametrize(
    ("sampler", "share", "traceparent", "spans"),
    [
        ("", "", "", 1),
        ("", "", UNSAMPLED, 0),
        ("parentbased_traceidratio", "0", "", 0),
        ("parentbased_traceidratio", "0", SAMPLED, 1),
        ("parentbased_always_off", "", "", 0),
        ("always_on", "", UNSAMPLED, 1),
        ("traceidratio", "0", SAMPLED, 0),
    ],
)
async def test_only_what_is_sampled_is_sent(
    traced: Traced, received: Collector, sampler: str, share: str, traceparent: str, spans: int
) -> None:
    async with traced(sampler, share) as server, web(server.http_port) as caller:
        await classify(server, traceparent)
        await caller.classify(image_of(3), {"traceparent": traceparent} if traceparent else {})
    assert len(received.whole()) == 2 * spans


async def test_a_request_without_a_trace_begins_one(traced: Traced, received: Collector) -> None:
    async with traced() as server:
        await classify(server)
        await classify(server)
    one, other = received.whole()
    assert one.parent_span_id == other.parent_span_id == b""
    assert len({one.trace_id, other.trace_id}) == 2


async def test_a_refused_request_says_why_it_is_over(traced: Traced, received: Collector) -> None:
    async with traced() as server, web(server.http_port) as caller:
        with pytest.raises(grpc.aio.AioRpcError):
            await classify(server, request=digits_pb2.ClassifyRequest(images=RAW.images, model_version=7))
        assert (await caller.classify(b""))[0] == 400
        channel, calls = stub(server)
        async with channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await calls.Feedback(digits_pb2.FeedbackRequest(request_id="any", digit=3))
    unknown, empty, no_store = received.whole()
    assert attributes_of(unknown.attributes)["rpc.response.status_code"] == "NOT_FOUND"
    assert attributes_of(empty.attributes)["http.response.status_code"] == 400
    assert unknown.status.code == empty.status.code == Status.STATUS_CODE_UNSET  # the caller's fault
    assert attributes_of(no_store.attributes)["error.type"] == "UNIMPLEMENTED"
    assert no_store.status.code == Status.STATUS_CODE_ERROR
    assert received.under(no_store) == []  # it has no stages


async def test_requests_of_a_stream_stand_under_it(traced: Traced, received: Collector) -> None:
    messages = [digits_pb2.ClassifyStreamRequest(id=number, request=RAW) for number in range(MOST_PARTS + 1)]
    async with traced() as server:
        channel, calls = stub(server)
        async with channel:
            answers = [answer async for answer in calls.ClassifyStream(iter(messages))]
    assert len(answers) == len(messages)
    [span] = received.whole()
    parts = received.under(span)
    assert [part.name for part in parts] == ["ClassifyStream request"] * MOST_PARTS
    for part in parts:
        assert stages_of(received, part) == ["receive", "admit", *RAN]
        assert span.start_time_unix_nano <= part.start_time_unix_nano
        assert part.end_time_unix_nano <= span.end_time_unix_nano


async def test_requests_of_a_stream_of_the_open_inference_protocol_stand_under_it(
    traced: Traced, received: Collector
) -> None:
    request = open_inference_pb2.ModelInferRequest(
        model_name="mnist",
        inputs=[open_inference_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])],
        raw_input_contents=[image_of(3)],
    )
    bad = open_inference_pb2.ModelInferRequest(model_name="other")
    async with traced() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        calls = GRPCInferenceServiceStub(channel)
        assert len([answer async for answer in calls.ModelStreamInfer(iter([request, bad]))]) == 2
        await calls.ModelInfer(request)
    stream, single = received.whole()
    good, refused = received.under(stream)
    assert stages_of(received, good) == stages_of(received, single) == ["receive", "admit", *RAN]
    assert attributes_of(refused.attributes)["rpc.response.status_code"] == "NOT_FOUND"


async def test_read_and_explain_have_stages_of_their_own(traced: Traced, received: Collector) -> None:
    async with traced(model_repository=ROOT / "models") as server, web(server.http_port) as caller:
        assert (await caller.post("/v1/read", picture_of("31")))[0] == 200
        assert (await caller.post("/v1/explain", image_of(3)))[0] == 200
    read, explain = received.whole()
    intake = ["receive", "admit", "decode_queue", "decode"]
    assert stages_of(received, read) == [*intake, "admit", "queue", "infer", "lines", "answer"]
    assert stages_of(received, explain) == ["receive", "admit", "queue", "infer", "explain", "answer"]


async def test_trace_ids_stand_in_the_access_log_and_with_the_latencies(
    traced: Traced, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info")
    async with (
        traced(access_log=True, log_format="json") as server,
        web(server.http_port) as caller,
        aiohttp.ClientSession() as session,
    ):
        await classify(server, SAMPLED)
        await classify(server, UNSAMPLED)
        await caller.classify(image_of(3), {"traceparent": SAMPLED})
        url = f"http://127.0.0.1:{server.http_port}/metrics"
        async with session.get(url, headers={"Accept": "application/openmetrics-text"}) as response:
            exposed = (await response.text()).splitlines()
        async with session.get(url) as response:
            assert "trace_id" not in await response.text()  # Prometheus' own format has no exemplars
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event.get("trace_id") for event in events if event["event"] == "rpc"] == [TRACE, None, TRACE]
    examples = [line.partition("_bucket")[0] for line in exposed if f'# {{trace_id="{TRACE}"}}' in line]
    assert examples == ["grpc_server_handling_seconds", "mnist_http_request_seconds"]
