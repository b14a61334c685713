"""Processes that are killed, hang, are drained or cannot write: a defined outcome for each, and nothing lost."""

import asyncio
import signal
import sys
from pathlib import Path

import grpc
import pytest

from mnist_digits import AsyncDigitClient
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.chaos import ends
from tests.chaos.service_process import ServiceProcess, running
from tests.support.processes import completed, until_ended
from tests.support.tiny_model import image_of, image_that_hangs

# Serves with its log on a full disk, calls until there is a response, and prints the digit and the exit status.
PROGRAM = """
import os, subprocess, sys, time
from mnist_digits import CallError, DigitClient
from serving.api.listening_port import ReservedPort
workers, repository = sys.argv[1:]
with ReservedPort("127.0.0.1", 0, "grpc_port") as holder:
    port = holder.port
flags = ["--grpc-port", str(port), "--http-port", "0", "--access-log", "--workers", workers]
command = [sys.executable, "-m", "serving", *flags, "--model-repository", repository]
variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # so that it keeps lines
server = subprocess.Popen(command, stderr=open("/dev/full", "w"), env=variables)
digits, ends = set(), time.monotonic() + 60
try:
    with DigitClient(f"127.0.0.1:{port}", timeout_seconds=30) as client:
        while not digits and time.monotonic() < ends:
            try:
                digits = {client.classify([bytes(4) + bytes([255]) + bytes(779)])[0].digit for _ in range(20)}
            except CallError:
                pass
    server.terminate()
    print(*digits, server.wait(30))
finally:
    server.kill()
"""
HANGS = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_that_hangs())])
ONE_IMAGE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(1))])


async def classify(address: str, request: digits_pb2.ClassifyRequest) -> int:
    """Over a connection of its own, without retries."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        answer = await DigitClassifierStub(channel).Classify(request, timeout=60, wait_for_ready=True)
    return int(answer.predictions[0].digit)


async def until_called(service: ServiceProcess) -> None:
    """Returns when a call has begun there."""
    async with asyncio.timeout(30):
        while await service.metric("grpc_server_started_total") < 1:
            pass  # each look is a call


async def test_a_worker_killed_under_load_loses_no_call_of_our_client(tiny_repository: Path) -> None:
    ended = await ends.workers_killed(tiny_repository, kills=2)
    assert ended.calls.lost == 0, ended.calls
    assert ended.calls.answered > 2 * ends.CALLS_BETWEEN


async def test_two_servers_restarted_in_turn_lose_no_call_of_a_client_that_knows_both(tiny_repository: Path) -> None:
    ended = await ends.restarted_in_turn(tiny_repository, rounds=2)
    assert ended.calls.lost == 0, ended.calls


async def test_a_drain_under_load_answers_all_that_was_admitted_then_ends_with_status_0(tiny_repository: Path) -> None:
    """No retries: a call that was let in is answered, one that was not gets UNAVAILABLE."""
    async with running(tiny_repository, "--workers", "2", "--max-queue-delay-seconds", "0.2") as service:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(service.grpc_address, options) as channel:
            stub = DigitClassifierStub(channel)
            await stub.Classify(ONE_IMAGE)
            calls = [asyncio.ensure_future(stub.Classify(ONE_IMAGE, timeout=30)) for _ in range(50)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            calls += [asyncio.ensure_future(stub.Classify(ONE_IMAGE, timeout=30)) for _ in range(50)]
            await asyncio.sleep(0)
            service.signal(signal.SIGTERM)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert await service.until_ended() == 0
    refused = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert {each.code() for each in refused} <= {grpc.StatusCode.UNAVAILABLE}
    assert not any(event["event"] == "drain_incomplete" for event in service.events)
    assert sum(isinstance(each, digits_pb2.ClassifyResponse) for each in outcomes) >= 50


async def test_a_second_signal_ends_at_once_with_its_workers(tiny_repository: Path) -> None:
    flags = ("--workers", "2", "--inference-threads", "2", "--drain-grace-seconds", "60")
    async with running(tiny_repository, *flags) as service:
        workers = service.worker_pids
        call = asyncio.create_task(classify(service.grpc_address, HANGS))
        await until_called(service)
        service.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while await service.metric("mnist_ready"):
                pass  # each look is a call
        service.signal(signal.SIGTERM)
        assert await service.until_ended() == 128 + signal.SIGTERM
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    await asyncio.gather(*map(until_ended, workers))


async def test_a_worker_whose_inference_hangs_is_replaced_and_the_others_answer(tiny_repository: Path) -> None:
    async with running(tiny_repository, "--workers", "2", "--inference-timeout-seconds", "0.5") as service:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await classify(service.grpc_address, HANGS)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        async with AsyncDigitClient(service.grpc_address) as client:
            (answer,) = await client.classify([image_of(3)])
            assert answer.digit == 3
        async with asyncio.timeout(60):
            while not any(event["event"] == "worker_replaced" for event in service.events):
                await asyncio.sleep(0.01)
        assert [event["status"] for event in service.events if event["event"] == "worker_died"] == [1]


@pytest.mark.parametrize("threads", ["1", "2"], ids=["on the loop", "on a thread"])
async def test_alone_a_process_whose_inference_hangs_ends_itself(threads: str, tiny_repository: Path) -> None:
    flags = ("--workers", "1", "--inference-threads", threads, "--inference-timeout-seconds", "0.5")
    async with running(tiny_repository, *flags) as service:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await classify(service.grpc_address, HANGS)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await service.until_ended() == (1 if threads == "1" else 70)


@pytest.mark.parametrize(("workers", "status"), [("1", 70), ("2", 0)])
async def test_an_inference_that_hangs_does_not_hold_up_the_end(
    workers: str, status: int, tiny_repository: Path
) -> None:
    flags = ("--workers", workers, "--inference-threads", "2", "--inference-timeout-seconds", "2")
    async with running(tiny_repository, *flags, "--drain-grace-seconds", "600") as service:
        call = asyncio.create_task(classify(service.grpc_address, HANGS))
        await until_called(service)
        service.signal(signal.SIGTERM)
        assert await service.until_ended() == status
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert "draining" in [event["event"] for event in service.events]


@pytest.mark.parametrize(("workers", "status"), [("1", 70), ("2", 0)])
async def test_without_a_watchdog_a_hanging_inference_ends_with_the_grace(
    workers: str, status: int, tiny_repository: Path
) -> None:
    flags = ("--workers", workers, "--inference-threads", "2", "--inference-timeout-seconds", "0")
    async with running(tiny_repository, *flags, "--drain-grace-seconds", "0.2") as service:
        call = asyncio.create_task(classify(service.grpc_address, HANGS))
        await until_called(service)
        service.signal(signal.SIGTERM)
        assert await service.until_ended() == status
        with pytest.raises(grpc.aio.AioRpcError):
            await call


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_under_the_log_takes_lines_and_nothing_else(workers: str, tiny_repository: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, workers, str(tiny_repository)]
    done = completed(command)
    assert done.stdout.strip() == "4 0", done.stderr
