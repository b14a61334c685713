"""Protobuf's wire format, written by hand as far as the benchmark's requests and responses need it.

Generated stubs of two servers cannot live in one process: each registers the same names (kserve#3099).
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


def varint(value: int) -> bytes:
    """Encodes an unsigned number: seven bits a byte, lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """Encodes a length-delimited field: bytes, text, a message, or packed numbers."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Decodes a message into numbers and values of its fields. Raises ValueError for bytes that are not a message."""
    position = 0
    while position < len(message):
        key, position = read_varint(message, position)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == VARINT:
            value, position = read_varint(message, position)
            yield number, value
            continue
        if kind == LENGTH_DELIMITED:
            length, position = read_varint(message, position)
        elif kind in _FIXED_BYTES:
            length = _FIXED_BYTES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        value, position = message[position : position + length], position + length
        if len(value) < length:
            raise ValueError("the message is cut short")
        yield number, value


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Decodes the number at `position`; returns it and the position after it. Raises ValueError if it is cut short."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("the message is cut short")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number longer than 64 bits before byte {position}")


def packed_varints(content: bytes) -> list[int]:
    """Decodes the numbers of a packed repeated field."""
    values, position = [], 0
    while position < len(content):
        value, position = read_varint(content, position)
        values.append(value)
    return values


def first_field(message: bytes, number: int) -> bytes:
    """The content of the first length-delimited field `number`; empty if the message has none."""
    return next((value for found, value in fields(message) if found == number and isinstance(value, bytes)), b"")
