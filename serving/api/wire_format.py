"""Protobuf's wire format, as far as the short ways past it need it. Knows no contract."""

from functools import lru_cache
from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from serving.errors import InvalidRequestError

M = TypeVar("M", bound=Message)

START_GROUP, END_GROUP = 3, 4  # protobuf skips groups that it does not know
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5  # wire types; SIZED: bytes, strings, messages, packed lists
# Fields of a message and of those within it. Protobuf makes an object of each: an entry of two bytes takes fifty.
MOST_ENTRIES = 8192
_SHORT_BYTES = 16 * 1024  # that hold too few to matter

# The fields that are messages, by number, and theirs; of a list of dimensions None: each of its bytes may be one.
Shape = dict[int, "Shape | None"]
_DIMENSIONS = "shape"


def parse_message(kind: type[M], content: bytes, most_entries: int = MOST_ENTRIES) -> M:
    """A message of any kind. Raises InvalidRequestError for bytes that are none, and for too many entries."""
    if len(content) > _SHORT_BYTES:
        descriptor = cast(Descriptor, kind.DESCRIPTOR)
        if _entries(_shape(descriptor), content, 0, len(content), most_entries) > most_entries:
            raise InvalidRequestError(f"the message holds more than {most_entries:,} entries")
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


@lru_cache(maxsize=64)
def _shape(descriptor: Descriptor) -> Shape:
    return {
        field.number: None if field.name == _DIMENSIONS else _shape(field.message_type)
        for field in descriptor.fields
        if field.name == _DIMENSIONS or field.message_type is not None
    }


def _entries(shape: Shape, content: bytes, at: int, end: int, most: int) -> int:
    """Fields in content[at:end] and in the messages there; stops at `most` + 1, and where the bytes are garbled."""
    count = 0
    while at < end and count <= most:
        tag, at = _varint(content, at, end)
        count += 1
        kind = tag & 7
        if kind == SIZED:
            length, at = _varint(content, at, end)
            inner = shape.get(tag >> 3, {})
            if inner is None:
                count += length
            elif inner:
                count += _entries(inner, content, at, min(at + length, end), most - count)
            at += length
        elif kind == VARINT:
            _, at = _varint(content, at, end)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        elif kind not in (START_GROUP, END_GROUP):  # a group's fields count as if they stood outside of it
            break
    return count


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and where it ends; `end` where it is cut off or too long."""
    value = shift = 0
    while at < end and shift < 70:
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end
