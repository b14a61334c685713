"""Stage times of a call in its trailing metadata, for callers that request them.

The metadata key `mnist-stages`, with any value, requests them. The response's key is `server-timing`, in the format of
HTTP's header of that name (https://www.w3.org/TR/server-timing/): milliseconds in each stage, images in the inference.
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from serving.api.engine.call import Call

REQUEST_KEY = "mnist-stages"
RESPONSE_KEY = "server-timing"


class Timed(Protocol):
    """Result of a use case, with the times that it took."""

    @property
    def decode_seconds(self) -> float:
        """Seconds until the pictures were decoded."""

    @property
    def queue_seconds(self) -> float:
        """Seconds until the batch began."""

    @property
    def inference_seconds(self) -> float:
        """Seconds of inference."""

    @property
    def batch_images(self) -> int:
        """Images that shared the inference."""


Outcome = TypeVar("Outcome", bound=Timed)


def encode_with_stage_times(call: Call, encode: Callable[[Outcome], bytes], outcome: Outcome) -> bytes:
    """Encodes the outcome, and sets the stage times in the trailing metadata if the caller requested them."""
    if not call.wants_stage_times:
        return encode(outcome)
    began = time.perf_counter()
    response = encode(outcome)  # here, so that its own time is known before the trailing metadata is set
    encode_seconds = time.perf_counter() - began
    call.trailing_metadata += ((RESPONSE_KEY, _server_timing(outcome, encode_seconds)),)
    return response


def _server_timing(outcome: Timed, encode_seconds: float) -> str:
    stages = {
        "decode": outcome.decode_seconds,
        "queue": outcome.queue_seconds,
        "inference": outcome.inference_seconds,
        "encode": encode_seconds,
    }
    entries = [f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages.items()]
    return ", ".join([*entries, f'batch;desc="{outcome.batch_images}"'])
