"""How clients connect: retries where they are safe, every address of a name in turn, and room for large batches."""

import json

from protos.mnist.v1 import digits_pb2

LARGEST_MESSAGE_BYTES = 64 * 2**20

# Asking twice harms nobody: classification changes nothing. The codes say that the server did no work; CANCELLED, where
# the caller did not cancel, that gRPC itself turned the call away in a flood.
_RETRY = {
    "maxAttempts": 5,  # over three seconds, by when a server that was restarted is found again; five are gRPC's limit
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
}
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{"service": "mnist.v1.DigitClassifier"}], "retryPolicy": _RETRY}],
    # Most attempts failing means that the service is down or full: then retrying stops, so as not to make it worse.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
}

CHANNEL_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # By default gRPC waits a second after a connection that failed, and up to two minutes after more of them: longer
    # than a worker is away that died, or a server that was restarted.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
]

CLASSIFY = f"/{digits_pb2.DESCRIPTOR.services_by_name['DigitClassifier'].full_name}/Classify"

Metadata = tuple[tuple[str, str], ...]


def key_metadata(api_key: str | None) -> Metadata:
    """What a call carries to show this key. Raises ValueError for what is no key."""
    if api_key is None:
        return ()
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise ValueError("an API key is one line of printable ASCII, without spaces around it")
    return (("x-api-key", api_key),)
