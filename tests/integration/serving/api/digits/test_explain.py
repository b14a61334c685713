"""Explain shows what the network does: each number is computed again from the one before, by other means."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.core.explainer import CAPACITY
from serving.process.standalone import Standalone
from tests.support.committed_models import committed
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

SAMPLE = ROOT / "samples" / "black-on-white-3.png"
Floats = npt.NDArray[np.float32]


@pytest.fixture(params=["mnist", "mnist-accurate", "mnist-cascade"])
async def trained(start_server: StartServer, request: pytest.FixtureRequest) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=ROOT / "models", model_name=request.param) as server:
        yield server


def stub_of(channel: grpc.aio.Channel) -> DigitClassifierStub:
    return DigitClassifierStub(channel)


def array(tensor: digits_pb2.Tensor) -> Floats:
    return np.frombuffer(tensor.values, "<f4").reshape(tuple(tensor.shape))


async def explained(server: Standalone, image: digits_pb2.Image) -> digits_pb2.ExplainResponse:
    # With all kernels the answer of mnist-accurate is larger than the 4 MiB that gRPC takes by default.
    larger = [("grpc.max_receive_message_length", 2**24)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", larger) as channel:
        answer: digits_pb2.ExplainResponse = await stub_of(channel).Explain(
            digits_pb2.ExplainRequest(image=image), timeout=30
        )
    return answer


def convolved(layer: digits_pb2.Layer, maps: Floats) -> Floats:
    """By hand: each window times each kernel, summed, and the bias."""
    top, left, bottom, right = layer.padding
    padded = np.pad(maps, ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, tuple(layer.kernel_size), axis=(1, 2))
    summed: Floats = np.einsum("cyxhw,fchw->fyx", windows, array(layer.kernel))
    return summed + array(layer.bias)[:, None, None]


def pooled(layer: digits_pb2.Layer, maps: Floats) -> Floats:
    """By hand: the largest of each window."""
    windows = sliding_window_view(maps, tuple(layer.kernel_size), axis=(1, 2))
    down, right = layer.strides
    largest: Floats = windows[:, ::down, ::right].max(axis=(3, 4))
    return largest


async def test_every_number_follows_from_those_before_it(trained: Standalone) -> None:
    answer = await explained(trained, digits_pb2.Image(encoded=SAMPLE.read_bytes()))
    maps: dict[str, Floats] = {}
    pixels = np.frombuffer(answer.pixels, np.uint8).astype(np.float32).reshape(1, 28, 28)
    for layer in answer.layers:
        output = maps[layer.name] = array(layer.output)
        if layer.kind == digits_pb2.KIND_DENSE:
            continue  # its weights are not in the response
        taken = np.concatenate([maps[name] for name in layer.inputs]) if layer.inputs else pixels
        if layer.kind == digits_pb2.KIND_MAX_POOLING:
            assert np.array_equal(pooled(layer, taken), output)
            continue
        before = array(layer.before_activation)
        np.testing.assert_allclose(convolved(layer, taken), before, rtol=1e-3, atol=1e-3)
        assert np.array_equal(np.maximum(before, 0), output)
    hidden = next(layer for layer in answer.layers if layer.name.endswith("hidden"))
    assert np.array_equal(np.maximum(array(hidden.before_activation), 0), array(hidden.output))
    assert answer.layers[-1].name.endswith("logits")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trained.grpc_port}") as channel:
        model = await stub_of(channel).GetModel(digits_pb2.GetModelRequest())
    metadata = json.loads((ROOT / "models" / model.name / str(model.version) / "metadata.json").read_text())
    network = metadata["cascade"]["fast"] if "cascade" in metadata else metadata
    scaled = np.exp(array(answer.layers[-1].output) / network["temperature"])
    np.testing.assert_allclose(scaled / scaled.sum(), answer.prediction.probabilities, atol=1e-5)


async def test_the_prediction_is_that_of_classify(trained: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trained.grpc_port}") as channel:
        for path in sorted((ROOT / "samples").iterdir()):
            if path.suffix in (".bin", ".md"):
                continue
            image = digits_pb2.Image(encoded=path.read_bytes())
            wanted = await stub_of(channel).Classify(digits_pb2.ClassifyRequest(images=[image]))
            given = await stub_of(channel).Explain(digits_pb2.ExplainRequest(image=image, without_kernels=True))
            assert given.model_version == wanted.model_version
            assert given.prediction.digit == wanted.predictions[0].digit
            assert given.prediction.quality == wanted.predictions[0].quality
            np.testing.assert_allclose(
                given.prediction.probabilities, wanted.predictions[0].probabilities, rtol=0, atol=1e-4
            )
            assert not any(layer.HasField("kernel") or layer.HasField("bias") for layer in given.layers)


async def test_what_matters_lies_where_the_ink_is(trained: Standalone) -> None:
    answer = await explained(trained, digits_pb2.Image(encoded=SAMPLE.read_bytes()))
    matters, pixels = array(answer.importance), np.frombuffer(answer.pixels, np.uint8).reshape(28, 28)
    assert matters.shape == (28, 28)
    assert matters[:2, :2].max() == 0  # paper over paper
    assert np.isfinite(matters).all()
    assert np.abs(matters[pixels > 128]).mean() > 3 * np.abs(matters[pixels == 0]).mean()


async def test_nothing_matters_in_a_blank(start_server: StartServer) -> None:
    async with start_server(model_repository=ROOT / "models") as server:
        blank = await explained(server, digits_pb2.Image(pixels=bytes(784)))
    assert blank.prediction.refusal == digits_pb2.REFUSAL_BLANK
    assert not array(blank.importance).any()


@pytest.mark.parametrize(
    ("image", "stage", "columns"),
    [
        (digits_pb2.Image(encoded=SAMPLE.read_bytes()), "fast_", 1),
        (digits_pb2.Image(pixels=image_of(3)), "second_", 3),  # no digit: the fast network is unsure
    ],
)
async def test_a_cascade_shows_the_network_that_answers(
    start_server: StartServer, image: digits_pb2.Image, stage: str, columns: int
) -> None:
    async with start_server(model_repository=ROOT / "models", model_name="mnist-cascade") as server:
        answer = await explained(server, image)
    assert all(layer.name.startswith(stage) for layer in answer.layers)
    assert sum(not layer.inputs for layer in answer.layers) == columns  # layers that see the pixels
    metadata = json.loads((committed("mnist-cascade") / "metadata.json").read_text())
    scaled = np.exp(array(answer.layers[-1].output) / metadata["cascade"][stage.strip("_")]["temperature"])
    np.testing.assert_allclose(scaled / scaled.sum(), answer.prediction.probabilities, atol=1e-5)


async def test_http_and_grpc_explain_alike(trained: Standalone) -> None:
    body = SAMPLE.read_bytes()
    answer = await explained(trained, digits_pb2.Image(encoded=body))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{trained.http_port}/v1/explain"
        by_http: dict[str, Any] = await (await session.post(url, data=body)).json()
        short: dict[str, Any] = await (await session.post(url + "?kernels=0", data=body)).json()
        assert (await session.post(url + "?kernels=2", data=body)).status == 400
        assert (await session.post(url, data=bytes(3))).status == 400
        assert (await session.post(url + "?model_version=77", data=body)).status == 404
    assert by_http["prediction"]["digit"] == answer.prediction.digit
    assert b64decode(by_http["pixels"]) == answer.pixels
    assert by_http["importance"]["shape"] == [28, 28]
    for layer, given in zip(answer.layers, by_http["layers"], strict=True):
        assert (given["name"], given["inputs"], given["padding"]) == (layer.name, layer.inputs, layer.padding)
        for name in ("kernel", "bias", "before_activation", "output"):
            tensor = getattr(layer, name) if layer.HasField(name) else None
            assert (given[name] is None) == (tensor is None)
            if tensor:
                assert given[name]["shape"] == tensor.shape
                assert b64decode(given[name]["float32"]) == tensor.values
    assert {layer["kernel"] for layer in short["layers"]} == {None}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (digits_pb2.ExplainRequest(), "INVALID_ARGUMENT"),
        (digits_pb2.ExplainRequest(image=digits_pb2.Image(pixels=bytes(783))), "INVALID_ARGUMENT"),
        (digits_pb2.ExplainRequest(image=digits_pb2.Image(encoded=b"no picture")), "INVALID_ARGUMENT"),
        (digits_pb2.ExplainRequest(image=digits_pb2.Image(pixels=bytes(784)), model_version=9), "NOT_FOUND"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    start_server: StartServer, request_: digits_pb2.ExplainRequest, code: str
) -> None:
    async with (
        start_server(model_repository=ROOT / "models") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub_of(channel).Explain(request_)
        assert raised.value.code().name == code


@pytest.mark.parametrize("model", ["mnist-int8", "mnist-cascade-int8", "tiny"])
async def test_a_version_that_is_not_made_of_such_layers_says_so_and_answers_all_the_same(
    start_server: StartServer, model: str
) -> None:
    settings: dict[str, Any] = {} if model == "tiny" else {"model_repository": ROOT / "models", "model_name": model}
    async with (
        start_server(**settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub_of(channel).Explain(digits_pb2.ExplainRequest(image=digits_pb2.Image(pixels=image_of(3))))
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "cannot be explained" in (raised.value.details() or "")
        await stub_of(channel).Classify(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(3))]))


async def test_beyond_a_handful_callers_are_refused_at_once_and_classify_goes_on(start_server: StartServer) -> None:
    async with (
        start_server(model_repository=ROOT / "models", model_name="mnist-accurate") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        image = digits_pb2.Image(encoded=SAMPLE.read_bytes())
        request = digits_pb2.ExplainRequest(image=image, without_kernels=True)
        calls = [stub_of(channel).Explain(request, timeout=60) for _ in range(3 * CAPACITY)]
        codes = [await call.code() for call in calls]
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        refused = calls[codes.index(grpc.StatusCode.RESOURCE_EXHAUSTED)]
        assert "grpc-retry-pushback-ms" in dict(await refused.trailing_metadata())
        answer = await stub_of(channel).Classify(digits_pb2.ClassifyRequest(images=[image]), timeout=30)
        assert answer.predictions[0].digit == 3
        assert (await stub_of(channel).Explain(request, timeout=60)).prediction.digit == 3  # the room is given back


async def test_explain_honours_deadlines_and_cancellation(start_server: StartServer) -> None:
    async with (
        start_server(model_repository=ROOT / "models", model_name="mnist-accurate") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        request = digits_pb2.ExplainRequest(image=digits_pb2.Image(pixels=image_of(1)), without_kernels=True)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub_of(channel).Explain(request, timeout=0.002)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        left = asyncio.ensure_future(stub_of(channel).Explain(request))
        await asyncio.sleep(0)
        left.cancel()
        assert (await stub_of(channel).Explain(request, timeout=30)).model_version == int(committed("mnist").name)
