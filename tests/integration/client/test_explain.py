"""Both clients explain as the RPC does, and end an explanation as they end any call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from mnist_digits import AsyncDigitClient, CallError, DigitClient, Explanation
from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.process.standalone import Standalone
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

SAMPLE = ROOT / "samples" / "black-on-white-3.png"


@pytest.fixture
async def trained(start_server: StartServer) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=ROOT / "models") as server:
        yield server


async def explained(address: str, with_kernels: bool) -> list[Explanation]:
    """The explanations of the blocking and of the asynchronous client."""

    def explain() -> Explanation:
        with DigitClient(address) as client:
            return client.explain(SAMPLE, with_kernels=with_kernels)

    async with AsyncDigitClient(address) as client:
        return [await asyncio.to_thread(explain), await client.explain(SAMPLE, with_kernels=with_kernels)]


def same(array: npt.NDArray[np.float32] | None, tensor: digits_pb2.Tensor, is_given: bool = True) -> bool:
    if array is None:
        return not is_given
    return is_given and array.shape == tuple(tensor.shape) and array.astype("<f4").tobytes() == tensor.values


@pytest.mark.parametrize("with_kernels", [True, False])
async def test_both_clients_give_every_number_of_the_response(trained: Standalone, with_kernels: bool) -> None:
    address = f"127.0.0.1:{trained.grpc_port}"
    image = digits_pb2.Image(encoded=SAMPLE.read_bytes())
    request = digits_pb2.ExplainRequest(image=image, without_kernels=not with_kernels)
    async with grpc.aio.insecure_channel(address) as channel:
        response: digits_pb2.ExplainResponse = await digits_pb2_grpc.DigitClassifierStub(channel).Explain(request)
    for explanation in await explained(address, with_kernels):
        assert (explanation.prediction.digit, explanation.model_version) == (3, response.model_version)
        assert explanation.pixels.shape == (28, 28)
        assert explanation.pixels.tobytes() == response.pixels
        assert explanation.importance.shape == (28, 28)
        assert same(explanation.importance, response.importance)
        assert {layer.kind for layer in explanation.layers} == {"convolution", "max_pooling", "dense"}
        for layer, message in zip(explanation.layers, response.layers, strict=True):
            assert (layer.name, layer.inputs) == (message.name, tuple(message.inputs))
            assert (layer.kernel_size, layer.strides) == (tuple(message.kernel_size), tuple(message.strides))
            assert layer.padding == tuple(message.padding)
            assert same(layer.output, message.output)
            assert same(layer.before_activation, message.before_activation, message.HasField("before_activation"))
            assert same(layer.kernel, message.kernel, message.HasField("kernel"))
            assert same(layer.bias, message.bias, message.HasField("bias"))
            assert (layer.kernel is not None) == (with_kernels and layer.kind == "convolution")


async def test_the_picture_and_the_version_decide_as_for_classify(trained: Standalone) -> None:
    async with AsyncDigitClient(f"127.0.0.1:{trained.grpc_port}") as client:
        with pytest.raises(CallError, match="INVALID_ARGUMENT"):
            await client.explain(b"no picture")
        with pytest.raises(CallError, match="NOT_FOUND"):
            await client.explain(SAMPLE, model_version=9)
        with pytest.raises(ValueError, match="expected pixels of shape"):
            await client.explain(np.zeros(3, np.uint8))


class SilentService(digits_pb2_grpc.DigitClassifierServicer):
    """Never answers Explain."""

    def __init__(self) -> None:
        self.address = ""
        self.arrived = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    async def Explain(  # noqa: N802  # generated name
        self,
        request: digits_pb2.ExplainRequest,  # noqa: ARG002  # whatever it asks
        context: grpc.aio.ServicerContext[digits_pb2.ExplainRequest, digits_pb2.ExplainResponse],  # noqa: ARG002  # as above
    ) -> digits_pb2.ExplainResponse:
        self.arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled.set()
        raise AssertionError("unreachable")


@asynccontextmanager
async def silent() -> AsyncIterator[SilentService]:
    service, server = SilentService(), grpc.aio.server()
    digits_pb2_grpc.add_DigitClassifierServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)


async def test_closing_the_asynchronous_client_ends_an_explanation_with_cancelled() -> None:
    async with silent() as service, asyncio.timeout(10):
        client = AsyncDigitClient(service.address)
        call = asyncio.create_task(client.explain(image_of(1)))
        await service.arrived.wait()
        await client.close()
        with pytest.raises(CallError, match="CANCELLED: the client is closed"):
            await call
        for late in (client.explain(image_of(1)), client.get_model()):
            with pytest.raises(CallError, match="CANCELLED: the client is closed"):
                await late


async def test_closing_the_blocking_client_ends_an_explanation_with_cancelled() -> None:
    async with silent() as service, asyncio.timeout(10):
        client = DigitClient(service.address)
        call = asyncio.create_task(asyncio.to_thread(client.explain, image_of(1)))
        await service.arrived.wait()
        await asyncio.to_thread(client.close)
        with pytest.raises(CallError, match="CANCELLED"):
            await call
        for late in (lambda: client.explain(image_of(1)), client.get_model):
            with pytest.raises(CallError, match="CANCELLED: the client is closed"):
                late()


async def test_a_cancelled_explanation_is_cancelled_at_the_server() -> None:
    async with silent() as service, asyncio.timeout(10), AsyncDigitClient(service.address) as client:
        call = asyncio.create_task(client.explain(image_of(1)))
        await service.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await service.was_cancelled.wait()


async def test_an_explanation_keeps_its_deadline() -> None:
    async with silent() as service, asyncio.timeout(10), AsyncDigitClient(service.address) as client:
        with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
            await client.explain(image_of(1), timeout_seconds=0.05)
