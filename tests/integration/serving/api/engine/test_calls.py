"""What either engine promises of a call: how it ends, who hears of it, and that nothing is left of it."""

import asyncio
import gc
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.api.engine.call import Call
from serving.api.pending import PendingCall
from serving.process.standalone import Standalone
from tests.support.engine import ENGINE
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

PATIENCE_SECONDS = 10.0
ONE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))])


def handled(server: Standalone, code: str, method: str = "Classify") -> float:
    """Calls of a method that ended with a code."""
    kind = "bidi_stream" if method.endswith("Stream") else "unary"
    labels = {"grpc_type": kind, "grpc_service": "mnist.v1.DigitClassifier", "grpc_method": method, "grpc_code": code}
    return server.server.metrics.registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


def objects_of_calls() -> int:
    """Objects of this process's calls that have not been freed."""
    # By type(): some objects, such as those of an open .npz file, have no __class__.
    return sum(issubclass(type(each), (Call, PendingCall)) for each in gc.get_objects())


def started(server: Standalone) -> float:
    """Calls that have begun, of all methods."""
    return sum(sample.value for family in server.server.metrics.started.collect() for sample in family.samples)


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_caller_who_leaves_a_waiting_call_is_counted_as_cancelled_and_gives_its_room_back(
    start_server: StartServer,
) -> None:
    async with (
        start_server(max_queue_delay_seconds=5.0) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        call = DigitClassifierStub(channel).Classify(ONE)
        await until(lambda: server.server.images_in_flight == 1)
        call.cancel()
        await until(lambda: server.server.images_in_flight == 0)
        await until(lambda: handled(server, "CANCELLED") == 1)


async def test_a_deadline_that_passes_while_a_call_waits_is_counted_as_such(start_server: StartServer) -> None:
    async with (
        start_server(max_queue_delay_seconds=5.0) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        await channel.channel_ready()  # so that the call is sent before its deadline
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await DigitClassifierStub(channel).Classify(ONE, timeout=0.1)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: handled(server, "DEADLINE_EXCEEDED") == 1)
        assert server.server.images_in_flight == 0


async def test_nothing_is_left_of_an_answered_call_for_the_garbage_collector(server: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = DigitClassifierStub(channel)
        await stub.Classify(ONE)
        gc.collect()
        gc.disable()
        before = objects_of_calls()  # servers of other tests may have ended with a call in the queue
        try:
            for _ in range(10):
                await stub.Classify(ONE)
            await until(lambda: objects_of_calls() <= before)
        finally:
            gc.enable()


@pytest.mark.skipif(ENGINE == "aio", reason="grpc.aio does not show its server a call without a message")
async def test_a_call_that_ends_before_its_message_is_counted_by_how_it_ended(server: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        begin: Any = channel.stream_unary("/mnist.v1.DigitClassifier/Classify")  # sends its messages later, or none
        left = begin()
        await until(lambda: started(server) >= 1)
        left.cancel()
        await until(lambda: handled(server, "CANCELLED") == 1)
        assert await begin(timeout=0.1).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: handled(server, "DEADLINE_EXCEEDED") == 1)
        assert await begin(iter(())).code() is grpc.StatusCode.INVALID_ARGUMENT
        await until(lambda: handled(server, "INVALID_ARGUMENT") == 1)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_read(server: Standalone, compression: grpc.Compression) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        response = await DigitClassifierStub(channel).Classify(ONE, compression=compression)
    assert response.predictions[0].digit == 7


async def test_a_message_over_the_limit_is_refused_and_the_connection_lives(start_server: StartServer) -> None:
    many = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))] * 100)
    async with (
        start_server(max_request_bytes=10_000) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = DigitClassifierStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Classify(many)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Classify(ONE)).predictions[0].digit == 7


async def test_a_stream_that_its_client_leaves_ends_and_is_counted(server: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = DigitClassifierStub(channel).ClassifyStream()
        await call.write(digits_pb2.ClassifyStreamRequest(id=1, request=ONE))
        response: Any = await call.read()
        assert response.response.predictions[0].digit == 7
        call.cancel()
        # grpc.aio may read the end of the stream before it hears that the client has left.
        codes = ("CANCELLED", "OK") if ENGINE == "aio" else ("CANCELLED",)
        await until(lambda: sum(handled(server, code, "ClassifyStream") for code in codes) == 1)


async def test_a_slow_reader_gets_all_responses_of_its_stream(server: Standalone) -> None:
    """More responses than fit into a window of HTTP/2, so that writing waits for the reader."""
    images = [digits_pb2.Image(pixels=image_of(number % 10)) for number in range(100)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = DigitClassifierStub(channel).ClassifyStream()

        async def send() -> None:
            for number in range(100):
                request = digits_pb2.ClassifyRequest(images=images)
                await call.write(digits_pb2.ClassifyStreamRequest(id=number, request=request))
            await call.done_writing()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            await until(lambda: started(server) >= 1)
            ids = set()
            async for response in call:
                ids.add(response.id)
                await asyncio.sleep(0.0005)
        assert ids == set(range(100))
        assert await call.code() is grpc.StatusCode.OK


async def test_many_calls_at_once_each_get_their_own_response(server: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = DigitClassifierStub(channel)
        requests = [
            digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(number % 10))]) for number in range(500)
        ]
        responses = await asyncio.gather(*(stub.Classify(request) for request in requests))
    assert [response.predictions[0].digit for response in responses] == [number % 10 for number in range(500)]


async def test_health_lists_every_service(server: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        method: Any = channel.unary_unary("/grpc.health.v1.Health/List")
        response: Any = health_pb2.HealthListResponse.FromString(await method(b""))  # type: ignore[attr-defined]
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert dict(response.statuses) == dict.fromkeys(
        ("", "mnist.v1.DigitClassifier", "inference.GRPCInferenceService"), serving
    )


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_versions_of_reflection_describe_every_service(server: Standalone, version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:

        async def ask(**question: Any) -> reflection_pb2.ServerReflectionResponse:
            call: Any = channel.stream_stream(path)()
            await call.write(reflection_pb2.ServerReflectionRequest(**question).SerializeToString())
            await call.done_writing()
            return reflection_pb2.ServerReflectionResponse.FromString(await call.read())

        listed = await ask(list_services="")
        services = {service.name for service in listed.list_services_response.service}
        assert {"mnist.v1.DigitClassifier", "inference.GRPCInferenceService"} <= services
        assert {f"grpc.reflection.{each}.ServerReflection" for each in ("v1", "v1alpha")} <= services
        for service in services:
            found = await ask(file_containing_symbol=service)
            (content, *_) = found.file_descriptor_response.file_descriptor_proto
            file = FileDescriptorProto.FromString(content)
            assert f"{file.package}.{file.service[0].name}" == service


async def test_calls_after_the_end_are_refused_at_once(start_server: StartServer) -> None:
    async with start_server() as server:
        port = server.grpc_port
    began = time.monotonic()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await DigitClassifierStub(channel).Classify(ONE)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < PATIENCE_SECONDS


async def test_in_a_drain_every_caller_is_answered_or_gets_unavailable(
    start_server: StartServer,
) -> None:
    codes: Counter[str] = Counter()

    async def call_until_it_is_gone(port: int) -> None:
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))  # a connection for each
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub, details = DigitClassifierStub(channel), ""
            while "connect" not in details:
                try:
                    await stub.Classify(ONE)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    details = error.details() or ""
                    codes[error.code().name] += 1

    async with asyncio.timeout(PATIENCE_SECONDS * 3):
        async with start_server() as server:
            callers = [asyncio.create_task(call_until_it_is_gone(server.grpc_port)) for _ in range(16)]
            await until(lambda: codes["OK"] > 100)
        await asyncio.gather(*callers)
    assert set(codes) - ({"CANCELLED"} if ENGINE == "aio" else set()) == {"OK", "UNAVAILABLE"}


async def test_in_a_flood_every_refusal_says_when_to_retry(start_server: StartServer) -> None:
    """On our own engine gRPC itself rejects no call. grpc.aio ends some as CANCELLED (decision 0030)."""
    options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
    async with (
        start_server(queue_capacity_images=4, max_images_per_request=1, max_queue_delay_seconds=0.1) as server,
        AsyncExitStack() as stack,
    ):
        target = f"127.0.0.1:{server.grpc_port}"
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(target, options)) for _ in range(8)]
        stubs = [DigitClassifierStub(channel) for channel in channels]

        async def call(number: int) -> tuple[str, bool]:
            try:
                await stubs[number % len(stubs)].Classify(ONE)
            except grpc.aio.AioRpcError as error:
                return error.code().name, any(key == "grpc-retry-pushback-ms" for key, _ in error.trailing_metadata())
            return "OK", False

        outcomes = Counter(await asyncio.gather(*(call(number) for number in range(1500))))
    assert set(outcomes) - ({("CANCELLED", False)} if ENGINE == "aio" else set()) == {
        ("OK", False),
        ("RESOURCE_EXHAUSTED", True),
    }
