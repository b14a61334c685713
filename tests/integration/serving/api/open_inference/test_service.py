"""The Open Inference Protocol over a real socket: what its own clients would not send, and the server's state."""

import asyncio
import io
import random
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.integration.serving.api.digits.test_classify import refusal
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of, image_that_fails

SERVICE = "inference.GRPCInferenceService"


@pytest.fixture
def inference(channel: grpc.aio.Channel) -> Any:
    return GRPCInferenceServiceStub(channel)


def request(images: list[bytes], **fields: Any) -> protocol.ModelInferRequest:
    tensor = protocol.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[len(images), 784])
    content = {"model_name": "mnist", "inputs": [tensor], "raw_input_contents": [b"".join(images)]}
    return protocol.ModelInferRequest(**content | fields)


def column(response: protocol.ModelInferResponse, name: str) -> list[Any]:
    dtypes = {"probabilities": "<f4", "digit": "<i8", "novelty": "<f4", "refused": "?"}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.name == name:
            values = np.frombuffer(raw, dtypes[name]).reshape(list(tensor.shape))
            return (values[:, 0] if values.shape[1] == 1 else values).tolist()  # type: ignore[no-any-return]
    raise KeyError(name)


async def test_blank_and_unlikely_images_are_refused_and_everything_is_counted(
    inference: Any, server: Standalone
) -> None:
    novel = bytes(100) + b"\xff" + bytes(683)  # ink where the tiny model does not look: all digits alike
    response = await inference.ModelInfer(request([image_of(7), bytes(784), novel]))
    assert column(response, "refused") == [False, True, True]
    assert column(response, "digit")[0] == 7
    value = server.server.metrics.registry.get_sample_value
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "ModelInfer"}
    assert value("grpc_server_handled_total", labels | {"grpc_code": "OK"}) == 1
    assert value("grpc_server_handling_seconds_count", labels) == 1
    assert value("mnist_refused_total", {"reason": "blank"}) == 1
    assert value("mnist_refused_total", {"reason": "novel"}) == 1


async def test_a_mounted_model_is_served_under_the_name_that_it_is_given(
    start_server: StartServer, repository: Path
) -> None:
    """KServe mounts one model's folder and hands over the name of the InferenceService."""
    folder = (repository / "mnist").rename(repository / "models")
    async with (
        start_server(model_folder=folder, model_name="forms-2026") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session,
    ):
        stub: Any = GRPCInferenceServiceStub(channel)  # the stubs know the blocking channel only
        answer = await stub.ModelInfer(request([image_of(7)], model_name="forms-2026"))
        assert (answer.model_name, column(answer, "digit")) == ("forms-2026", [7])
        assert await refusal(stub.ModelInfer(request([image_of(7)], model_name="mnist"))) == (
            grpc.StatusCode.NOT_FOUND,
            "model 'mnist' is not served; forms-2026 is",
        )
        for path in ("/v2/health/ready", "/v2/models/forms-2026/ready"):
            assert (await session.get(path)).status == 200


async def test_both_protocols_answer_the_same_to_the_same_pixels(inference: Any, stub: DigitClassifierStub) -> None:
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 255, 783, np.uint8).tobytes() + b"\0" for _ in range(70)]  # more than one batch
    theirs = await inference.ModelInfer(request(images))
    ours = await stub.Classify(
        digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=pixels) for pixels in images])
    )
    assert column(theirs, "digit") == [prediction.digit for prediction in ours.predictions]
    assert column(theirs, "novelty") == [prediction.novelty for prediction in ours.predictions]
    assert column(theirs, "refused") == [prediction.refused for prediction in ours.predictions]
    expected = [list(prediction.probabilities) for prediction in ours.predictions]
    np.testing.assert_allclose(column(theirs, "probabilities"), expected, rtol=1e-6)


async def test_a_hundred_callers_of_both_protocols_at_once_each_get_their_own_answer(
    inference: Any, stub: DigitClassifierStub
) -> None:
    sent = [random.Random(n).choices(range(10), k=n % 7 + 1) for n in range(100)]

    async def by_number(n: int) -> list[int]:
        images = [image_of(digit) for digit in sent[n]]
        if n % 2:
            return column(await inference.ModelInfer(request(images, id=str(n))), "digit")
        pixels = [digits_pb2.Image(pixels=image) for image in images]
        return [p.digit for p in (await stub.Classify(digits_pb2.ClassifyRequest(images=pixels))).predictions]

    assert await asyncio.gather(*map(by_number, range(100))) == sent


def shaped(*shape: int) -> protocol.ModelInferRequest:
    hostile = request([image_of(1)])
    del hostile.inputs[0].shape[:]
    hostile.inputs[0].shape.extend(shape)
    return hostile


def with_parameter(name: str, **value: Any) -> protocol.ModelInferRequest:
    return request([image_of(1)], parameters={name: protocol.InferParameter(**value)})


BAD = [
    pytest.param(protocol.ModelInferRequest(), "NOT_FOUND", "model '' is not served", id="empty"),
    pytest.param(request([]), "INVALID_ARGUMENT", "shape [0, 784]", id="no image"),
    pytest.param(shaped(-1, 784), "INVALID_ARGUMENT", "shape [-1, 784]", id="negative"),
    pytest.param(shaped(2**62, 784), "INVALID_ARGUMENT", f"holds {2**62} images, at most 100", id="overflow"),
    pytest.param(shaped(*[1] * 8_000), "INVALID_ARGUMENT", "shape [1, 1, 1, 1, ...]", id="dimensions"),
    pytest.param(shaped(*[1] * 500_000), "INVALID_ARGUMENT", "holds more than 8,192 entries", id="swollen"),
    pytest.param(shaped(2, 784), "INVALID_ARGUMENT", "2 x 784 elements of UINT8 are 1568 bytes, got 784", id="short"),
    pytest.param(request([image_of(1)] * 101), "INVALID_ARGUMENT", "holds 101 images, at most 100", id="too many"),
    pytest.param(request([image_of(1)], model_name="x" * 100_000), "NOT_FOUND", "xxx...' is not served", id="name"),
    pytest.param(request([image_of(1)], model_version="01"), "NOT_FOUND", "version '01' is not served", id="version"),
    pytest.param(with_parameter("timeout", int64_param=-1), "INVALID_ARGUMENT", "parameter `timeout`", id="timeout"),
    pytest.param(with_parameter("timeout", string_param="1"), "INVALID_ARGUMENT", "parameter `timeout`", id="kind"),
]


@pytest.mark.parametrize(("hostile", "code", "words"), BAD)
async def test_a_hostile_request_is_refused_in_few_words_and_the_server_goes_on(
    hostile: protocol.ModelInferRequest, code: str, words: str, inference: Any
) -> None:
    found, details = await refusal(inference.ModelInfer(hostile))
    assert found.name == code
    assert words in details
    assert len(details) < 300
    assert column(await inference.ModelInfer(request([image_of(4)])), "digit") == [4]


METHODS = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name


@pytest.mark.parametrize("method", [name for name in METHODS if name != "ModelStreamInfer"])
async def test_a_message_that_does_not_parse_is_an_invalid_argument(method: str, channel: grpc.aio.Channel) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/{method}")
    code, details = await refusal(call(b"\xff\xff\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"the message is no inference.{method}Request" in details


async def test_a_stream_goes_on_after_a_message_that_does_not_parse(channel: grpc.aio.Channel) -> None:
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
    good = request([image_of(6)]).SerializeToString()
    answers = [protocol.ModelStreamInferResponse.FromString(each) async for each in call(iter([b"\xff\xff", good]))]
    assert "the message is no inference.ModelInferRequest" in answers[0].error_message
    assert column(answers[1].infer_response, "digit") == [6]


async def test_a_timeout_that_passes_in_the_queue_ends_the_call_and_no_other(start_server: StartServer) -> None:
    async with (
        start_server(max_queue_delay_seconds=0.2) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        inference: Any = GRPCInferenceServiceStub(channel)
        soon = {"timeout": protocol.InferParameter(int64_param=1000)}
        hasty = inference.ModelInfer(request([image_of(1)], parameters=soon))
        patient = inference.ModelInfer(request([image_of(2)]))
        code, details = await refusal(hasty)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "the deadline passed while the request was queued" in details
        assert column(await patient, "digit") == [2]


async def test_pictures_are_decoded_within_the_servers_limits(inference: Any) -> None:
    def pictures(*files: bytes) -> protocol.ModelInferRequest:
        sent = request([])
        sent.inputs[0].datatype, sent.inputs[0].shape[:] = "BYTES", [len(files), 1]
        sent.raw_input_contents[0] = b"".join(len(file).to_bytes(4, "little") + file for file in files)
        return sent

    buffer = io.BytesIO()
    Image.fromarray(np.full((28, 28), 255, np.uint8)).save(buffer, "PNG")
    response = await inference.ModelInfer(pictures(buffer.getvalue(), buffer.getvalue()))
    assert column(response, "refused") == [True, True]
    code, details = await refusal(inference.ModelInfer(pictures(buffer.getvalue(), bytes(50_001))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "image 1: the image has 50,001 bytes, at most 50,000" in details


async def test_a_full_server_refuses_at_once(start_server: StartServer) -> None:
    async with (
        start_server(queue_capacity_images=4, max_images_per_request=4, max_queue_delay_seconds=0.5) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        inference: Any = GRPCInferenceServiceStub(channel)
        calls = [inference.ModelInfer(request([image_of(n)] * 4)) for n in (1, 2)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        (refused,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_fault_of_ours_is_internal_and_keeps_its_text_inside(inference: Any) -> None:
    code, details = await refusal(inference.ModelInfer(request([image_that_fails()])))
    assert code is grpc.StatusCode.INTERNAL
    assert details == "internal error; the server's log has the details"


async def test_a_draining_server_is_alive_not_ready_and_unavailable(start_server: StartServer) -> None:
    ready, name = protocol.ServerReadyRequest(), "mnist"
    # The delay keeps the first call in the queue while the drain begins.
    async with start_server(max_queue_delay_seconds=1.0) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        inference: Any = GRPCInferenceServiceStub(channel)
        assert (await inference.ServerReady(ready)).ready
        admitted = asyncio.ensure_future(inference.ModelInfer(request([image_of(5)])))
        while server.server.images_in_flight == 0:  # the call is on its way
            await asyncio.sleep(0)

        async def call_while_draining() -> None:
            while (await inference.ServerReady(ready)).ready:  # the drain begins when the block below ends
                pass
            assert (await inference.ServerLive(protocol.ServerLiveRequest())).live
            assert not (await inference.ModelReady(protocol.ModelReadyRequest(name=name))).ready
            for call in (
                inference.ModelInfer(request([image_of(1)])),
                inference.ModelMetadata(protocol.ModelMetadataRequest(name=name)),
            ):
                code, details = await refusal(call)
                assert code is grpc.StatusCode.UNAVAILABLE
                assert "shutting down" in details

        late = asyncio.create_task(call_while_draining())
    assert column(await admitted, "digit") == [5]
    await late
    await channel.close()


@pytest.mark.parametrize("service", [SERVICE, "mnist.v1.DigitClassifier", "grpc.health.v1.Health"])
async def test_reflection_describes_each_service(service: str, channel: grpc.aio.Channel) -> None:
    opened: Any = channel  # the stubs know the blocking channel only
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(opened)
    request_of = reflection_pb2.ServerReflectionRequest
    call = stub.ServerReflectionInfo(iter([request_of(list_services=""), request_of(file_containing_symbol=service)]))
    assert service in [found.name for found in (await call.read()).list_services_response.service]
    (file,) = (await call.read()).file_descriptor_response.file_descriptor_proto
    assert service.rpartition(".")[2].encode() in file
