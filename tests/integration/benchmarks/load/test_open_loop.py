"""The open-loop client against tiny servers that stall, err, and allow little at a time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from benchmarks.load.open_loop import run_open_loop
from benchmarks.protocols.protocol import grpc_message

HELD = 100  # requests that must have come before the stalling server answers any


@contextmanager
def server(
    handler: Callable[[bytes, grpc.ServicerContext], bytes], options: list[tuple[str, int]] | None = None
) -> Iterator[int]:
    served = grpc.server(ThreadPoolExecutor(HELD + 10), options=options)
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(handler)
    served.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tiny.Server", {"Ask": method}),))
    port = served.add_insecure_port("127.0.0.1:0")
    served.start()
    try:
        yield port
    finally:
        served.stop(None).wait()


def echo(request: bytes, _: grpc.ServicerContext) -> bytes:
    return request


def test_a_stall_counts_for_every_request_that_was_due_in_it() -> None:
    enough = threading.Event()
    counted = iter(range(1, 10_000))

    def stall(request: bytes, _: grpc.ServicerContext) -> bytes:
        if next(counted) == HELD:
            enough.set()
        enough.wait(30)
        return request

    rate = 500.0
    with server(stall) as port:
        tail, errors = run_open_loop("/tiny.Server/Ask", port, grpc_message(b"x" * 784), rate, 0.4, 789)
    assert errors == 0
    assert tail.unanswered == 0
    # A client that waited for answers would never have sent HELD requests. Of 200 the first HELD waited for the last
    # of them, each for as long as it was due before it.
    assert tail.worst_ms >= (HELD - 1) / rate * 1000
    assert tail.p99_ms >= (HELD - 3) / rate * 1000


def test_calls_that_end_with_an_error_are_counted() -> None:
    with server(echo) as port:
        _, errors = run_open_loop("/tiny.Server/Nothing", port, grpc_message(b"x"), 100, 0.1, 6)
    assert errors == 10


def test_no_more_calls_are_open_than_the_server_allows() -> None:
    with server(echo, [("grpc.max_concurrent_streams", 1)]) as port:
        tail, errors = run_open_loop("/tiny.Server/Ask", port, grpc_message(b"x" * 784), 1000, 0.2, 789)
    assert (tail.unanswered, errors) == (0, 0)


def test_long_requests_wait_for_the_servers_window() -> None:
    body = grpc_message(bytes(50_000))
    with server(echo) as port:
        tail, errors = run_open_loop("/tiny.Server/Ask", port, body, 500, 0.2, len(body))
    assert (tail.unanswered, errors) == (0, 0)
