"""The event loop that waits in gRPC's queue does all that asyncio's own does, while the queue is in use."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.api.engine.loop import CompletionQueueLoop

SOON = 5.0  # seconds; far more than is needed, and far less than a loop that waits for ever


async def opened() -> CompletionQueueLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CompletionQueueLoop)
    await loop.open_queue()
    return loop


async def test_an_idle_loop_is_woken_by_other_threads_and_by_descriptors() -> None:
    loop = await opened()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with asyncio.timeout(SOON), await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        for number in range(20):  # each time from an idle loop
            assert await asyncio.to_thread(int, number) == number
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
        woken = asyncio.Event()
        threading.Thread(target=loop.call_soon_threadsafe, args=(woken.set,)).start()
        await woken.wait()


async def test_timers_are_kept_while_it_waits() -> None:
    await opened()
    began = time.monotonic()
    await asyncio.gather(*(asyncio.sleep(seconds) for seconds in (0.0, 0.01, 0.05)))
    assert 0.05 <= time.monotonic() - began < SOON


async def test_a_callback_that_raises_is_reported_and_the_loop_goes_on() -> None:
    loop = await opened()
    reported: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: object) -> None:
        raise RuntimeError("on purpose")

    loop._queue_selector.wake_call.start_server_batch((), fail)  # an event whose tag is ours
    async with asyncio.timeout(SOON):
        while not reported:
            await asyncio.sleep(0)
    assert str(reported[0]["exception"]) == "on purpose"
    assert await asyncio.to_thread(lambda: 1) == 1


def test_loops_come_and_go_with_their_threads() -> None:
    async def use() -> int:
        await opened()
        return await asyncio.get_running_loop().run_in_executor(executor, threading.active_count)

    with ThreadPoolExecutor(1) as executor:
        counts = []
        for _ in range(5):
            with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
                counts.append(runner.run(use()))
    assert max(counts) <= counts[0] + 1  # a channel's own thread may end a moment later
    assert not [thread for thread in threading.enumerate() if thread.name == "descriptors"]


def test_a_loop_that_never_opens_its_queue_is_an_ordinary_one() -> None:
    with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
        assert runner.run(asyncio.sleep(0.001, "done")) == "done"


async def test_opening_twice_at_once_is_opening_once() -> None:
    loop = await opened()
    async with asyncio.timeout(SOON):
        await asyncio.gather(loop.open_queue(), loop.open_queue())


async def test_a_cancelled_opening_leaves_the_loop_usable() -> None:
    task = asyncio.create_task(opened())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await opened()
    assert await asyncio.to_thread(lambda: 1) == 1


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_of_the_environment_is_not_used_for_the_call_that_wakes_the_loop(variable: str) -> None:
    """In a process of its own: before the mend the loop could not even be closed."""
    code = (
        "import asyncio; from serving.api.engine.loop import CompletionQueueLoop as Loop\n"
        "with asyncio.Runner(loop_factory=Loop) as runner: runner.run(runner.get_loop().open_queue())"
    )
    environment = os.environ | {variable: "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=SOON, check=True)


async def test_timers_are_kept_when_the_wall_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    await opened()
    hour_ahead = time.time() + 3600.0  # what the wall clock showed when the loop began to wait, before it was set back
    monkeypatch.setattr("serving.api.engine.loop.time.time", lambda: hour_ahead)
    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began < SOON


def test_a_loop_is_closed_while_a_server_on_it_has_a_call() -> None:
    """In a process of its own, as before: what is left of it must not keep the interpreter from ending either."""
    code = """
import asyncio, grpc
from serving.api.engine.call import Method
from serving.api.engine.completion_queue import CompletionQueueEngine
from serving.api.engine.loop import CompletionQueueLoop
from serving.api.listening_port import ReservedPort

async def begin():
    begun = asyncio.Event()
    method = Method("service", "stream", "bidi_stream", lambda call, _: begun.set())
    engine = CompletionQueueEngine({method.path.encode(): method}, [("grpc.so_reuseport", 1)])
    with ReservedPort("127.0.0.1", 0, "grpc_port") as held:
        await engine.start("127.0.0.1", held.port)
        channel = grpc.insecure_channel(f"127.0.0.1:{held.port}")
        stream = channel.stream_stream("/service/stream")
        calls.append(stream(iter([b""])))
        await begun.wait()

calls = []
with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
    runner.run(begin())
print(calls[0].code())
"""
    ended = subprocess.run([sys.executable, "-c", code], timeout=SOON, check=True, capture_output=True, text=True)
    assert ended.stdout == "StatusCode.UNAVAILABLE\n"
