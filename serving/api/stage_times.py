"""Stage times of a call in its trailing metadata, for callers that request them.

The metadata key `mnist-stages`, with any value, requests them. The response's key is `server-timing`, in the format of
HTTP's header of that name (https://www.w3.org/TR/server-timing/): milliseconds in each stage, images in the inference.
"""

import time
from collections.abc import Callable

from serving.api.engine.call import Call
from serving.predictions import Predictions

REQUEST_KEY = "mnist-stages"
RESPONSE_KEY = "server-timing"


def encode_with_stage_times(call: Call, encode: Callable[[Predictions], bytes], predictions: Predictions) -> bytes:
    """Encodes the predictions, and sets the stage times in the trailing metadata if the caller requested them."""
    if not any(key == REQUEST_KEY for key, _ in call.invocation_metadata()):
        return encode(predictions)
    began = time.perf_counter()
    response = encode(predictions)  # here, so that its own time is known before the trailing metadata is set
    encode_seconds = time.perf_counter() - began
    call.trailing_metadata = ((RESPONSE_KEY, _server_timing(predictions, encode_seconds)),)
    return response


def _server_timing(predictions: Predictions, encode_seconds: float) -> str:
    stages = {
        "decode": predictions.decode_seconds,
        "queue": predictions.queue_seconds,
        "inference": predictions.inference_seconds,
        "encode": encode_seconds,
    }
    entries = [f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages.items()]
    return ", ".join([*entries, f'batch;desc="{predictions.batch_images}"'])
