"""ClassifyStream over a real socket."""

import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.api.digits.service import STREAM_REQUESTS_IN_FLIGHT
from serving.process.standalone import Standalone
from tests.support.tiny_model import image_of


def message(identifier: int, digit: int) -> digits_pb2.ClassifyStreamRequest:
    images = [digits_pb2.Image(pixels=image_of(digit))]
    return digits_pb2.ClassifyStreamRequest(id=identifier, request=digits_pb2.ClassifyRequest(images=images))


async def test_every_answer_carries_the_id_of_its_request(stub: DigitClassifierStub) -> None:
    count = 3 * STREAM_REQUESTS_IN_FLIGHT
    call = stub.ClassifyStream(message(n, n % 10) for n in range(count))
    answers = {answer.id: answer.response.predictions[0].digit async for answer in call}
    assert answers == {n: n % 10 for n in range(count)}


async def test_a_bad_request_gets_a_failure_and_the_stream_goes_on(
    stub: DigitClassifierStub, server: Standalone
) -> None:
    bad = digits_pb2.ClassifyStreamRequest(id=2)
    answers = {answer.id: answer async for answer in stub.ClassifyStream(iter([message(1, 4), bad, message(3, 6)]))}
    assert answers[1].response.predictions[0].digit == 4
    assert answers[2].failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answers[2].failure.message == "the request holds no image"
    assert answers[3].response.predictions[0].digit == 6
    assert server.server.metrics.registry.get_sample_value("mnist_rejected_total", {"reason": "invalid"}) == 1


async def test_a_message_that_does_not_parse_ends_the_stream_after_the_answers_before_it(
    channel: grpc.aio.Channel,
) -> None:
    open_stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
        "/mnist.v1.DigitClassifier/ClassifyStream"
    )
    call = open_stream(iter([message(1, 5).SerializeToString(), b"\xff\xff"]))
    first = await call.read()
    assert isinstance(first, bytes)
    assert digits_pb2.ClassifyStreamResponse.FromString(first).id == 1
    with pytest.raises(grpc.aio.AioRpcError, match=r"the message is no mnist\.v1\.ClassifyStreamRequest"):
        await call.read()


async def test_abandoned_stream_harms_no_other_call_and_is_no_fault(
    stub: DigitClassifierStub, server: Standalone
) -> None:
    for _ in range(20):
        call = stub.ClassifyStream()
        for number in range(50):
            await call.write(message(number, 1))
        await call.read()
        call.cancel()  # with answers under way
    assert not server.server.metrics.registry.get_sample_value("mnist_rejected_total", {"reason": "internal"})
    response = await stub.Classify(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(3))]))
    assert response.predictions[0].digit == 3


async def test_a_stream_without_requests_ends_well(stub: DigitClassifierStub) -> None:
    assert [answer async for answer in stub.ClassifyStream(iter([]))] == []
