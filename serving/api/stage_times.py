"""Where a call's time went, in its trailing metadata, for callers that ask for it.

A caller asks by the metadata key `mnist-stages`, with any value. The answer is `server-timing`, as HTTP's header of
that name has it (https://www.w3.org/TR/server-timing/): milliseconds in each stage, and the images in its inference.
"""

import time
from collections.abc import Callable

from serving.api.rpc import Context
from serving.core.classifier import Predictions

ASKED_BY = "mnist-stages"
TOLD_AS = "server-timing"


def encode_and_tell(context: Context, predictions: Predictions, encode: Callable[[Predictions], bytes]) -> bytes:
    """What `encode` makes of the predictions; the stages are told if the caller asked."""
    if not any(key == ASKED_BY for key, _ in context.invocation_metadata() or ()):
        return encode(predictions)
    began = time.perf_counter()
    response = encode(predictions)
    encode_seconds = time.perf_counter() - began
    context.set_trailing_metadata(((TOLD_AS, _server_timing(predictions, encode_seconds)),))
    return response


def _server_timing(predictions: Predictions, encode_seconds: float) -> str:
    timing = predictions.rows.timing
    stages = {
        "decode": predictions.decode_seconds,
        "queue": timing.queue_seconds,
        "inference": timing.inference_seconds,
        "encode": encode_seconds,
    }
    told = [f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages.items()]
    return ", ".join([*told, f'batch;desc="{timing.batch_images}"'])
