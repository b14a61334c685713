import pytest

from protos.mnist.v1 import digits_pb2
from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError


@pytest.mark.parametrize("head", [b"", b"\x7b\x7c"], ids=["plain", "behind an unknown group"])
def test_many_entries_are_refused_before_they_are_made(head: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="more than 8,192 entries"):
        parse_message(digits_pb2.ClassifyRequest, head + b"\x0a\0" * 100_000)
