"""A well-behaved caller during an attack: one right response after another, and the time of the slowest."""

import json
import threading
import time
from types import TracebackType

import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.support.tiny_model import image_of

# In a flood gRPC's own threads turn calls away as CANCELLED, and clients retry (docs/reliability.md, known limits).
_RETRIED = {
    "name": [{"service": "mnist.v1.DigitClassifier"}],
    "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["CANCELLED"],
    },
}
_OWN_CONNECTION = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config", json.dumps({"methodConfig": [_RETRIED]})),
)


class GoodCalls:
    """`with GoodCalls(port) as calls:` calls until the block ends, by turns on a kept and on a new connection.

    A call that fails or is answered wrongly is in `failures`, and its time counts.
    """

    def __init__(self, port: int, patience_seconds: float = 20.0) -> None:
        self._patience_seconds = patience_seconds
        self._address = f"127.0.0.1:{port}"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._call_on)
        self.longest_seconds = 0.0
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> "GoodCalls":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _call_on(self) -> None:
        with grpc.insecure_channel(self._address, options=_OWN_CONNECTION) as kept:
            number = 0
            while number == 0 or not self._is_over.is_set():
                self._call(kept, number % 10)
                with grpc.insecure_channel(self._address, options=_OWN_CONNECTION) as new:
                    self._call(new, number % 10)
                number += 1
                self._is_over.wait(0.005)  # not a load of its own

    def _call(self, channel: grpc.Channel, digit: int) -> None:
        request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(digit))])
        began = time.monotonic()
        try:
            stub = DigitClassifierStub(channel)
            answer = stub.Classify(request, timeout=self._patience_seconds, wait_for_ready=True)
            assert [prediction.digit for prediction in answer.predictions] == [digit]
            self.answered += 1
        except grpc.RpcError as error:
            self.failures.append(f"{error.code().name}: {error.details()}")
        except AssertionError as error:
            self.failures.append(f"a wrong answer: {error}")
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
