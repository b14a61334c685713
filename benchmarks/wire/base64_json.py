"""HTTP/1.1 with JSON, for servers that take nothing else: each image as base64 text, the digits back."""

import base64
import json

from benchmarks.wire.protocol import Pixels, Protocol


def _request(pixels: Pixels) -> bytes:
    return json.dumps({"images": [base64.b64encode(row.tobytes()).decode() for row in pixels]}).encode()


def json_digits(answer: bytes) -> list[int]:
    """A list of digits, or an object that has it as `digits`. Raises ValueError or LookupError for anything else."""
    content = json.loads(answer)
    return [int(digit) for digit in (content["digits"] if isinstance(content, dict) else content)]


def base64_json(path: str) -> Protocol:
    """The protocol, at `path`."""
    return Protocol("JSON, base64", path, _request, json_digits, is_grpc=False, content_type="application/json")
