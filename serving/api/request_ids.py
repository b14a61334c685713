"""Ids of requests, given by the caller or made here: response, access log and feedback name a request by its id.

1. `x-request-id` is taken where it has 1 to 100 letters, digits and signs of `._:/+=@-`: it stands in logs and is sent
   back, and so may hold nothing that forges a line or a header. Anything else counts as not given.
2. Without it, W3C's `traceparent` gives the ids of trace and parent: `<32 digits>-<16 digits>`. The trace's id alone
   would name all requests of a trace alike.
3. Without either, an id of 128 random bits is made: for HTTP always, for gRPC where the access log or feedback needs it
   (decision 0053 has what it costs).
"""

import os
import re
from collections.abc import Iterable

from serving.traces.request_trace import trace_parent

REQUEST_ID = "x-request-id"
LONGEST_GIVEN = 100
LONGEST = 128  # with what a stream adds for each of its messages
_SIGNS = r"[A-Za-z0-9._:/+=@-]"
_GIVEN = re.compile(rf"{_SIGNS}{{1,{LONGEST_GIVEN}}}")
_ANY = re.compile(rf"{_SIGNS}{{1,{LONGEST}}}")


def given_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the id that the caller gave in metadata or headers, whose names are lower-case; empty: no usable one."""
    metadata = list(metadata)
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and _GIVEN.fullmatch(value):
            return value
    parent = trace_parent(metadata)
    return f"{parent.trace_id}-{parent.span_id:016x}" if parent else ""


def new_id() -> str:
    """Makes an id that nobody can guess: 32 hexadecimal digits."""
    return os.urandom(16).hex()  # what secrets.token_hex() does, in half the time


def is_id(text: str) -> bool:
    """Returns True for what may be the id of a request, one of a stream's included."""
    return _ANY.fullmatch(text) is not None


def of_stream(request_id: str, message_id: int | str) -> str:
    """Returns the id of one request of a stream, `<id>:<the message's>`; empty where the message's is none."""
    whole = f"{request_id}:{message_id}"
    return whole if is_id(whole) else ""
