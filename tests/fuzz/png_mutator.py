"""Mutations of PNG files that Pillow does not refuse for their checksums alone.

Pillow compares the checksum of each chunk, so a plain mutation of a PNG goes no further than that. Here the checksums
are written anew after most mutations; other formats have none.
"""

import struct
import zlib

import atheris

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEFT_AS_IS = 8  # one mutation in so many: wrong checksums are inputs, too


def mutate(content: bytes, max_bytes: int, seed: int) -> bytes:
    """As atheris calls it."""
    mutated = bytes(atheris.Mutate(content, max_bytes))
    return mutated if seed % LEFT_AS_IS == 0 else with_checksums(mutated)


def with_checksums(content: bytes) -> bytes:
    """The PNG file with the checksum that each of its chunks should have; other content as it is."""
    if not content.startswith(SIGNATURE):
        return content
    mended = bytearray(content)
    position = len(SIGNATURE)
    while position + 12 <= len(mended):
        end = position + 8 + int.from_bytes(mended[position : position + 4])
        if end + 4 > len(mended):
            break
        struct.pack_into(">I", mended, end, zlib.crc32(mended[position + 4 : end]))
        position = end + 4
    return bytes(mended)
