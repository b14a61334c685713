"""The private names of grpcio are there, behave as their one module says, and are imported there alone."""

import ast
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.api.engine import grpc_core
from serving.api.engine.engines import choose_engine
from serving.api.engine.loop import CompletionQueueLoop

ROOT = Path(__file__).parents[5]
WAIT_SECONDS = 10.0


def test_one_module_imports_cygrpc() -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("serving", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and "_cython" in (node.module or ""))
        or (isinstance(node, ast.Import) and any("_cython" in alias.name for alias in node.names))
    }
    assert importers == {"serving/api/engine/grpc_core.py"}


def test_the_pinned_release_is_a_tested_one() -> None:
    assert grpc_core.is_tested()


def test_another_release_gets_grpc_aio_unless_the_setting_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "__version__", "1.999.0")
    loop = CompletionQueueLoop()
    try:
        assert choose_engine("auto", loop) == ("aio", "the faster engine was not tested with grpcio 1.999.0")
        assert choose_engine("completion-queue", loop) == ("completion-queue", "")
    finally:
        loop.close()


@pytest.fixture
def called() -> Iterator[tuple[Any, Any, Any]]:
    """A server's queue, the event of a call, and the client's side of that call."""
    queue = grpc_core.CompletionQueue()
    server = grpc_core.Server([], False)
    server.register_completion_queue(queue)
    port = server.add_http2_port(b"127.0.0.1:0")
    server.start()
    server.request_call(queue, queue, "call")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/service/method")
        client = method.future(b"request", timeout=WAIT_SECONDS, metadata=(("key", "value"),))
        yield queue, _next(queue), client
    server.shutdown(queue, "end")
    server.cancel_all_calls()
    while _next(queue).tag != "end":
        pass
    queue.shutdown()
    assert _next(queue).completion_type == grpc_core.QUEUE_SHUTDOWN


def _next(queue: Any) -> Any:
    event = queue.poll(time.time() + WAIT_SECONDS)
    assert event.completion_type != grpc_core.QUEUE_TIMEOUT
    return event


def test_a_call_is_received_and_answered_as_the_docstring_says(called: tuple[Any, Any, Any]) -> None:
    queue, event, client = called
    assert event.tag == "call"
    assert event.success
    assert event.call_details.method == b"/service/method"
    assert 0 < event.call_details.deadline - time.time() <= WAIT_SECONDS
    assert ("key", "value") in event.invocation_metadata
    call = event.call
    assert call.peer().startswith(b"ipv4:127.0.0.1:")
    call.start_server_batch((grpc_core.receive_message(),), "message")
    assert _next(queue).batch_operations[0].message() == b"request"
    call.start_server_batch((grpc_core.receive_close(),), "close")
    sent = (grpc_core.SEND_NO_METADATA, grpc_core.send_message(b"response"), grpc_core.SEND_OK)
    call.start_server_batch(sent, "sent")
    events = {found.tag: found for found in (_next(queue), _next(queue))}
    assert not events["close"].batch_operations[0].cancelled()
    assert client.result() == b"response"
    call.start_server_batch((), "empty")  # on a call that has ended
    assert _next(queue).tag == "empty"


def test_a_client_that_leaves_ends_the_call(called: tuple[Any, Any, Any]) -> None:
    queue, event, client = called
    event.call.start_server_batch((grpc_core.receive_close(),), "close")
    client.cancel()
    assert _next(queue).batch_operations[0].cancelled()


def test_a_status_has_its_details_and_metadata(called: tuple[Any, Any, Any]) -> None:
    queue, event, client = called
    status = grpc_core.send_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full ü", (("grpc-retry-pushback-ms", "7"),))
    event.call.start_server_batch((grpc_core.SEND_NO_METADATA, status), "sent")
    assert _next(queue).tag == "sent"
    assert (client.code(), client.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full ü")
    assert ("grpc-retry-pushback-ms", "7") in tuple(client.trailing_metadata())
