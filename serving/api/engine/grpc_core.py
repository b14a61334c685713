"""Private names of grpcio that the completion-queue engine uses. No other module imports grpc._cython.cygrpc.

grpcio promises nothing about them. Its synchronous server, `grpc._server`, is built on the same ones. Decision 0041
says what to do when they move. They are:

1. `CompletionQueue()`: `poll(deadline)` takes wall time (0: does not wait; None: waits) and releases the GIL meanwhile.
   Unless gRPC's own threads read the connections (`engine/__init__.py`), each poll reads one that is ready, and may
   complete nothing by that. `shutdown()`. An event has `completion_type`, `success`, and `tag`, the object that its
   operation was started with.
2. `Server(options, xds)`: `register_completion_queue(queue)`, `add_http2_port(address[, credentials])`, `start()`,
   `request_call(queue, queue, tag)`, `shutdown(queue, tag)`, `cancel_all_calls()`. The last two do nothing, and
   complete nothing, once the server has ended.
3. The event of a requested call also has `call`, `call_details` (`method` in bytes and `deadline` in wall time) and
   `invocation_metadata`. It has no `success` when the server was shut down instead.
4. `call.start_server_batch(operations, tag)`, which any thread may call, and `call.peer()`. An empty batch completes at
   once, also on a call that has ended.
5. `auth_context(call)`: what TLS knows of the client, sequences of bytes by a name in bytes.
6. The operations below. One that sends nothing of its own may be in many batches at a time. One that receives may not:
   it holds what it received, and sharing it frees that twice. Its event has it as `batch_operations[0]`, and no
   `success` where gRPC itself refused the message.

A kept reference to the last event of an ended call makes the next poll spin (a comment in `grpc._server` says so).
"""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

from serving.api.engine.call import CERTIFICATE

# Releases of grpcio on which all tests have passed with this engine.
TESTED_RELEASES = ("1.85",)

CompletionQueue = cygrpc.CompletionQueue
Server = cygrpc.Server
QUEUE_TIMEOUT = cygrpc.CompletionType.queue_timeout
QUEUE_SHUTDOWN = cygrpc.CompletionType.queue_shutdown
_NO_FLAGS = 0
_CERTIFICATE = CERTIFICATE.encode()
SEND_NO_METADATA = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
SEND_OK = cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS)


def is_tested() -> bool:
    """Returns True for a release of grpcio on which this engine's tests have passed."""
    return grpc.__version__.rpartition(".")[0] in TESTED_RELEASES


def receive_message() -> Any:
    """Makes an operation whose `message()` is the next message in bytes, or None where there is none."""
    return cygrpc.ReceiveMessageOperation(_NO_FLAGS)


def receive_close() -> Any:
    """Makes an operation that completes when the call has ended; its `cancelled()` tells an end that was not ours."""
    return cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)


def send_message(message: bytes) -> Any:
    """Makes an operation that sends a message."""
    return cygrpc.SendMessageOperation(message, _NO_FLAGS)


def send_status(code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, str], ...]) -> Any:
    """Makes an operation that ends the call."""
    number: int = code.value[0]
    return cygrpc.SendStatusFromServerOperation(trailing_metadata, number, details.encode(), _NO_FLAGS)


def peer_certificate(call: Any) -> bytes | None:
    """Returns the certificate that a call's client has shown in TLS, in PEM."""
    shown: Sequence[bytes] = cygrpc.auth_context(call).get(_CERTIFICATE)
    return shown[0] if shown else None


def server_credentials(credentials: grpc.ServerCredentials) -> object:
    """Returns what `add_http2_port` takes, from the public credentials."""
    return credentials._credentials  # type: ignore[attr-defined]  # private, as all of this module
