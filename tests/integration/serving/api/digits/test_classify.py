"""Classify over a real socket: right answers, and every kind of bad input."""

import asyncio
import io
import random
from collections.abc import Awaitable

import grpc
import numpy as np
import pytest
from PIL import Image

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.logging import configure_logging
from serving.process.standalone import Standalone
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of, image_that_fails


def raw(digit: int) -> digits_pb2.Image:
    return digits_pb2.Image(pixels=image_of(digit))


def png(side: int = 28, level: int = 255) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


async def test_one_image_is_answered_with_everything_the_contract_promises(stub: DigitClassifierStub) -> None:
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[raw(7)]))
    (prediction,) = response.predictions
    assert prediction.digit == 7
    assert prediction.probability == prediction.probabilities[7] > 0.99
    assert len(prediction.probabilities) == 10
    assert sum(prediction.probabilities) == pytest.approx(1)
    assert prediction.novelty == pytest.approx(1 - prediction.probability)
    assert not prediction.refused
    assert prediction.refusal == digits_pb2.REFUSAL_UNSPECIFIED
    assert response.model_version == 1


async def test_raw_and_encoded_images_may_be_mixed_and_keep_their_order(stub: DigitClassifierStub) -> None:
    blank = digits_pb2.Image(encoded=png())
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[raw(3), blank, raw(5)], model_version=1))
    first, second, third = response.predictions
    assert (first.digit, third.digit) == (3, 5)
    assert second.refused
    assert second.refusal == digits_pb2.REFUSAL_BLANK


async def test_blank_raw_pixels_are_refused_as_blank(stub: DigitClassifierStub) -> None:
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(784))]))
    assert response.predictions[0].refusal == digits_pb2.REFUSAL_BLANK


async def test_quality_flags_come_with_their_own_prediction_and_are_counted(
    stub: DigitClassifierStub, server: Standalone
) -> None:
    stroke = np.full((40, 30), 230, np.uint8)
    stroke[:30, 13:17] = 200  # faint, and begins at the border
    buffer = io.BytesIO()
    Image.fromarray(stroke).save(buffer, "PNG")
    images = [raw(1), digits_pb2.Image(encoded=buffer.getvalue()), raw(2)]
    request = digits_pb2.ClassifyRequest(images=images)
    stream = stub.ClassifyStream(iter([digits_pb2.ClassifyStreamRequest(id=1, request=request)]))
    for response in (await stub.Classify(request), (await stream.read()).response):
        assert [list(prediction.quality) for prediction in response.predictions] == [
            [],
            [digits_pb2.QUALITY_TOUCHES_BORDER, digits_pb2.QUALITY_LOW_CONTRAST],
            [],
        ]
    assert server.server.metrics.registry.get_sample_value("mnist_remarks_total", {"quality": "low_contrast"}) == 2
    assert server.server.metrics.registry.get_sample_value("mnist_remarks_total", {"quality": "blank"}) == 0


async def test_an_uncertain_image_is_refused_as_novel(stub: DigitClassifierStub, server: Standalone) -> None:
    pixels = bytearray(784)
    pixels[100] = 255  # ink where the tiny model does not look: all digits alike
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(pixels))]))
    assert response.predictions[0].novelty == pytest.approx(0.9)
    assert response.predictions[0].refusal == digits_pb2.REFUSAL_NOVEL
    assert server.server.metrics.registry.get_sample_value("mnist_refused_total", {"reason": "novel"}) == 1


async def test_a_hundred_callers_at_once_each_get_their_own_answer(
    stub: DigitClassifierStub, server: Standalone
) -> None:
    sent = [random.Random(n).choices(range(10), k=n % 7 + 1) for n in range(100)]
    calls = [stub.Classify(digits_pb2.ClassifyRequest(images=map(raw, digits))) for digits in sent]
    answered = [[p.digit for p in response.predictions] for response in await asyncio.gather(*calls)]
    assert answered == sent
    value = server.server.metrics.registry.get_sample_value
    batches, images = value("mnist_batch_size_count"), value("mnist_batch_size_sum")
    assert images == sum(map(len, sent))
    assert batches is not None
    assert batches < len(sent), "concurrent calls were not batched"


BAD = [
    pytest.param({"images": []}, "INVALID_ARGUMENT", "the request holds no image", id="empty"),
    pytest.param(
        {"images": [raw(1), digits_pb2.Image(pixels=bytes(783))]},
        "INVALID_ARGUMENT",
        "image 1: expected 784 pixels, got 783",
        id="wrong pixel count",
    ),
    pytest.param(
        {"images": [digits_pb2.Image()]}, "INVALID_ARGUMENT", "image 0: neither `pixels` nor `encoded`", id="no form"
    ),
    pytest.param(
        {"images": [raw(1)] * 101}, "INVALID_ARGUMENT", "holds 101 images, at most 100 are accepted", id="too many"
    ),
    pytest.param(
        {"images": [digits_pb2.Image(encoded=bytes(50_001))]},
        "INVALID_ARGUMENT",
        "image 0: the image has 50,001 bytes, at most 50,000",
        id="too many bytes",
    ),
    pytest.param(
        {"images": [digits_pb2.Image(encoded=png(side=700))]},
        "INVALID_ARGUMENT",
        "image 0: the image has 700 x 700 = 490,000 pixels, at most 100,000",
        id="too many pixels",
    ),
    pytest.param(
        {"images": [digits_pb2.Image(encoded=b"hello, I am text")]},
        "INVALID_ARGUMENT",
        "image 0: not an image this service reads (PNG, JPEG, BMP, WEBP, TIFF)",
        id="not an image",
    ),
    pytest.param(
        {"images": [raw(1), digits_pb2.Image(encoded=png(200)[:60])]},
        "INVALID_ARGUMENT",
        "image 1: the PNG image is truncated or damaged",
        id="truncated",
    ),
    pytest.param(
        {"images": [raw(1)], "model_version": 9},
        "NOT_FOUND",
        "version 9 is not served; version 1 is",
        id="version",
    ),
]


@pytest.mark.parametrize(("fields", "code", "message"), BAD)
async def test_bad_input_gets_a_helpful_error_and_the_server_goes_on(
    fields: dict[str, object], code: str, message: str, stub: DigitClassifierStub
) -> None:
    found, details = await refusal(stub.Classify(digits_pb2.ClassifyRequest(**fields)))  # type: ignore[arg-type]  # of many kinds
    assert found.name == code
    assert message in details
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[raw(4)]))
    assert response.predictions[0].digit == 4


async def test_a_message_that_does_not_parse_is_an_invalid_argument(channel: grpc.aio.Channel) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/mnist.v1.DigitClassifier/Classify")
    code, details = await refusal(call(b"\xff\xff\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "the message is no mnist.v1.ClassifyRequest" in details


async def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/mnist.v1.DigitClassifier/Guess")
    code, _ = await refusal(call(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_an_oversized_message_is_resource_exhausted_and_the_server_goes_on(start_server: StartServer) -> None:
    async with (
        start_server(max_request_bytes=10_000) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = DigitClassifierStub(channel)
        code, details = await refusal(stub.Classify(digits_pb2.ClassifyRequest(images=[raw(1)] * 20)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "10000" in details
        assert (await stub.Classify(digits_pb2.ClassifyRequest(images=[raw(2)]))).predictions[0].digit == 2


async def test_beyond_capacity_callers_are_refused_at_once_and_the_admitted_are_answered(
    start_server: StartServer,
) -> None:
    # The delay holds the first call in the queue while the second arrives.
    async with (
        start_server(queue_capacity_images=4, max_images_per_request=4, max_queue_delay_seconds=0.5) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = DigitClassifierStub(channel)
        calls = [stub.Classify(digits_pb2.ClassifyRequest(images=[raw(n)] * 4)) for n in (1, 2)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        (refused,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "the server is full: it holds 4 of at most 4 images" in (refused.details() or "")
        assert server.server.metrics.registry.get_sample_value("mnist_rejected_total", {"reason": "overloaded"}) == 1


async def test_a_caller_on_a_short_deadline_does_not_disturb_its_neighbour(start_server: StartServer) -> None:
    async with (
        start_server(max_queue_delay_seconds=0.3) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = DigitClassifierStub(channel)
        hasty = stub.Classify(digits_pb2.ClassifyRequest(images=[raw(1)]), timeout=0.05)
        patient = stub.Classify(digits_pb2.ClassifyRequest(images=[raw(2)]))
        code, _ = await refusal(hasty)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await patient).predictions[0].digit == 2


async def test_get_model_describes_what_is_served_and_accepted(stub: DigitClassifierStub) -> None:
    model = await stub.GetModel(digits_pb2.GetModelRequest())
    assert (model.name, model.version, model.device) == ("mnist", 1, "cpu")
    assert (model.test_accuracy, model.novelty_threshold) == (0.1, 0.5)
    assert (model.max_images_per_request, model.max_image_bytes, model.max_image_pixels) == (100, 50_000, 100_000)
    assert len(model.model_sha256) == 64


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_a_fault_of_ours_is_internal_keeps_its_text_inside_and_is_logged_without_pixels(
    log_format: str, start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(log_format, "info")
    async with (
        start_server() as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = DigitClassifierStub(channel)
        failing = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_that_fails())])
        code, details = await refusal(stub.Classify(failing))
        assert (await stub.Classify(digits_pb2.ClassifyRequest(images=[raw(6)]))).predictions[0].digit == 6
    logged = capsys.readouterr().err
    assert code is grpc.StatusCode.INTERNAL
    assert details == "internal error; the server's log has the details"
    assert logged.count("rpc_failed") == 1
    assert "indices element out of data bounds" in logged
    assert "\\x00\\x00" not in logged
    assert server.server.metrics.registry.get_sample_value("mnist_rejected_total", {"reason": "internal"}) == 1
