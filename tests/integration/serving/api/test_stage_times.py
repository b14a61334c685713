"""Stage times that a call can request, over both contracts."""

import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.support.tiny_model import image_of

WITH_STAGES = (("mnist-stages", "1"),)
STAGES = re.compile(r'decode;dur=(\S+), queue;dur=(\S+), inference;dur=(\S+), encode;dur=(\S+), batch;desc="(\d+)"')
RAW = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(digit)) for digit in (1, 2)])


async def stage_times(call: "grpc.aio.UnaryUnaryCall[bytes, bytes]") -> tuple[list[float], int]:
    """Milliseconds of decode, queue, inference and encode, and the images in the batch."""
    await call
    trailing = dict(await call.trailing_metadata())
    found = STAGES.fullmatch(str(trailing["server-timing"]))
    assert found
    return [float(text) for text in found.groups()[:4]], int(found[5])


async def test_call_that_requests_them_gets_stage_times_and_batch_size(stub: DigitClassifierStub) -> None:
    (decode, queue, inference, encode), images = await stage_times(stub.Classify(RAW, metadata=WITH_STAGES))
    assert images == 2
    assert decode == 0
    assert queue > 0
    assert inference > 0
    assert encode >= 0


async def test_decoding_time_of_a_picture_is_reported(stub: DigitClassifierStub) -> None:
    picture = (Path(__file__).parents[4] / "samples/tiny-6.png").read_bytes()
    request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=picture)])
    (decode, *_), _ = await stage_times(stub.Classify(request, metadata=WITH_STAGES))
    assert decode > 0


async def test_open_inference_protocol_reports_stage_times_too(channel: grpc.aio.Channel) -> None:
    tensor = open_inference_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])
    request = open_inference_pb2.ModelInferRequest(
        model_name="mnist", inputs=[tensor], raw_input_contents=[image_of(3)]
    )
    infer: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    _, images = await stage_times(infer(request.SerializeToString(), metadata=WITH_STAGES))
    assert images == 1


@pytest.mark.parametrize("metadata", [None, (("other", "1"),)])
async def test_call_that_does_not_request_them_gets_no_stage_times(
    stub: DigitClassifierStub, metadata: tuple[tuple[str, str]] | None
) -> None:
    call = stub.Classify(RAW, metadata=metadata)
    await call
    assert "server-timing" not in dict(await call.trailing_metadata())
