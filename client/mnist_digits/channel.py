"""How the clients connect: retries where they are safe, every address of a name in turn, room for large batches."""

import json

from mnist_digits import proto
from mnist_digits.address import check_address, is_loopback

LARGEST_MESSAGE_BYTES = 64 * 2**20

SERVICE = proto.DESCRIPTOR.services_by_name["DigitClassifier"].full_name
CLASSIFY = f"/{SERVICE}/Classify"
READ = f"/{SERVICE}/Read"
EXPLAIN = f"/{SERVICE}/Explain"
FEEDBACK = f"/{SERVICE}/Feedback"
GET_MODEL = f"/{SERVICE}/GetModel"

# Retries are safe: no call changes anything, but for feedback, which may come twice. UNAVAILABLE and
# RESOURCE_EXHAUSTED mean that the server did no work; CANCELLED, where the caller did not cancel, means that gRPC
# itself refused the call in a flood.
_RETRY = {
    "maxAttempts": 5,  # gRPC's limit; over three seconds in all, by when a restarted server answers again
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
}
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": _RETRY}],
    # When most attempts fail, the service is down or full: retries stop, so as not to make it worse.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
}

Options = list[tuple[str, str | int]]

_OPTIONS: Options = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # gRPC's default waits one second after a failed connection and up to two minutes after several: longer than a
    # worker that died, or a server that restarts, is away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A name is looked up again when a connection to one of its addresses ends. gRPC's default of 30 seconds between two
    # look-ups is longer than a Kubernetes Deployment may take to replace every address.
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
    ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
]

# A proxy that the environment names would look for the loopback address on its own machine.
_NO_PROXY: Options = [("grpc.enable_http_proxy", 0)]

Metadata = tuple[tuple[str, str], ...]


def channel_options(address: str) -> Options:
    """Options of a channel to this address. Raises ValueError for an address that gRPC would not understand."""
    check_address(address)
    return _OPTIONS + _NO_PROXY if is_loopback(address) else _OPTIONS


def key_metadata(api_key: str | None) -> Metadata:
    """Metadata that shows the key with a call. Raises ValueError for text that can be no key."""
    if api_key is None:
        return ()
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise ValueError("an API key is one line of printable ASCII, without spaces around it")
    return (("x-api-key", api_key),)
