"""The bare echo: the very bytes of an Open Inference request, back."""

from benchmarks.wire.open_inference import infer_request
from benchmarks.wire.protocol import Protocol

ECHO_METHOD = ("benchmark.Echo", "Echo")


def _no_digits(_: bytes) -> list[int]:
    return []


ECHO = Protocol("echo", "/" + "/".join(ECHO_METHOD), infer_request, _no_digits)
