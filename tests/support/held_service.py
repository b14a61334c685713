"""A digit service that answers when the test says so: each RPC is handed to the test, which ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from protos.mnist.v1 import digits_pb2, digits_pb2_grpc

Context = grpc.aio.ServicerContext[digits_pb2.ClassifyRequest, digits_pb2.ClassifyResponse]


class HeldRpc:
    """One RPC that waits for `answer` or `fail`."""

    def __init__(self, request: digits_pb2.ClassifyRequest, seconds_left: float | None) -> None:
        self.request = request
        self.seconds_left = seconds_left
        self.ended: asyncio.Future[grpc.StatusCode] = asyncio.get_running_loop().create_future()
        self.was_cancelled = asyncio.Event()

    def answer(self) -> None:
        """Responds as the tiny model does: the digit is the place of the inked pixel."""
        self.ended.set_result(grpc.StatusCode.OK)

    def fail(self, code: grpc.StatusCode) -> None:
        self.ended.set_result(code)


class HeldService(digits_pb2_grpc.DigitClassifierServicer):
    """Hands every RPC to the test through `next_rpc`."""

    def __init__(self) -> None:
        self.address = ""
        self._arrived: asyncio.Queue[HeldRpc] = asyncio.Queue()

    async def next_rpc(self) -> HeldRpc:
        async with asyncio.timeout(10):
            return await self._arrived.get()

    async def next_rpcs(self, count: int) -> list[HeldRpc]:
        return [await self.next_rpc() for _ in range(count)]

    def has_another_rpc(self) -> bool:
        return not self._arrived.empty()

    async def Classify(  # noqa: N802  # generated name
        self, request: digits_pb2.ClassifyRequest, context: Context
    ) -> digits_pb2.ClassifyResponse:
        rpc = HeldRpc(request, context.time_remaining())
        self._arrived.put_nowait(rpc)
        try:
            code = await rpc.ended
        except asyncio.CancelledError:
            rpc.was_cancelled.set()
            raise
        if code is not grpc.StatusCode.OK:
            await context.abort(code, "on purpose")
        digits = [image.pixels.index(255) for image in request.images]
        return digits_pb2.ClassifyResponse(predictions=[digits_pb2.Prediction(digit=digit) for digit in digits])


@asynccontextmanager
async def served() -> AsyncIterator[HeldService]:
    """The service on a free port."""
    service = HeldService()
    server = grpc.aio.server()
    digits_pb2_grpc.add_DigitClassifierServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)
