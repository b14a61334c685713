"""Protobuf's wire format: bounded parsing, and field headers for the codecs that write bytes themselves.

1. Protobuf makes an object for each submessage and list entry, and an entry of two bytes takes fifty in memory. So
   parse_message counts the entries in the bytes first, and refuses too many.
2. Counting is a heuristic and never decides whether a message is valid: garbled bytes are left to protobuf.
"""

from functools import lru_cache
from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from serving.errors import InvalidRequestError

M = TypeVar("M", bound=Message)

START_GROUP, END_GROUP = 3, 4  # deprecated wire types, which protobuf skips as unknown fields
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5  # wire types; SIZED: bytes, strings, messages, packed lists
MOST_ENTRIES = 8192  # fields of a message and of the messages within it
_SHORT_BYTES = 16 * 1024  # messages up to this length are not counted: an entry has at least two bytes

# Fields that hold entries, by number: for a message its own such fields; None for a packed list of dimensions, each
# byte of which may be an entry.
Shape = dict[int, "Shape | None"]
_DIMENSIONS = "shape"


def parse_message(kind: type[M], content: bytes, most_entries: int = MOST_ENTRIES) -> M:
    """Parses a message of type `kind`. Raises InvalidRequestError for bytes that are none, and for too many entries."""
    if len(content) > _SHORT_BYTES:
        descriptor = cast(Descriptor, kind.DESCRIPTOR)
        if _entries(_shape(descriptor), content, 0, len(content), most_entries) > most_entries:
            raise InvalidRequestError(f"the message holds more than {most_entries:,} entries")
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the message is no {kind.DESCRIPTOR.full_name}: {error}") from error


def sized_field(kind: type[Message], field: str, length: int) -> bytes:
    """Returns the bytes before the `length` bytes of a field: its number and wire type, and the length as a varint."""
    header = bytearray([kind.DESCRIPTOR.fields_by_name[field].number << 3 | SIZED])
    while length > 0x7F:  # 7 bits a byte, lowest first; the high bit says that more follow
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
    """Counts fields in content[at:end] and in the messages there; stops above `most`, and at garbled bytes."""
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
        elif kind not in (START_GROUP, END_GROUP):  # garbled; the fields of a group count as the message's own
            break
    return count


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """Returns the number at `at` and the position behind it, which is `end` for one that is cut off or too long."""
    value = shift = 0
    while at < end and shift < 70:
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end
