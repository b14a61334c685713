"""Protobuf's wire format, as far as the short ways past it need it. Knows no contract."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from serving.errors import InvalidRequestError

M = TypeVar("M", bound=Message)

SIZED = 2  # the wire type of bytes, strings, messages and packed lists


def parse_message(kind: type[M], content: bytes) -> M:
    """A message of any kind. Raises InvalidRequestError for bytes that are none."""
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the message is no {kind.DESCRIPTOR.full_name}: {error}") from error


def sized_field(kind: type[Message], field: str, length: int) -> bytes:
    """What stands before the `length` bytes of a field: its number, its wire type, and the length as a varint."""
    header = bytearray([kind.DESCRIPTOR.fields_by_name[field].number << 3 | SIZED])
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)
