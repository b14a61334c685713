"""JSON lines: a picture in base64, or pixels, on each line."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.bulk.blocks import Content, Item, Problem, Raw
from serving.bulk.job import Shard, stamp_of
from serving.image.picture import ImageLimits
from serving.predictions import PIXELS

_CHUNK = 2**20
_MORE = 4096  # bytes of a line besides the picture


def plan_json_lines(path: Path, prefix: str, shard_rows: int) -> Iterator[Shard]:
    """Yields the shards of a file, in one pass over its bytes that only looks for the ends of lines."""
    stamp = stamp_of(path)
    row = first = start = position = 0
    last = b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            at = -1
            while (at := chunk.find(b"\n", at + 1)) >= 0:
                row += 1
                if row - first == shard_rows:
                    stop = position + at + 1
                    yield Shard(0, "json_lines", str(path), prefix, row - first, first, stop, start, stamp=stamp)
                    first, start = row, stop
            position += len(chunk)
            last = chunk[-1:]
    row += last != b"\n"  # the last line has no end
    if row > first:
        yield Shard(0, "json_lines", str(path), prefix, row - first, first, position, start, stamp=stamp)


def read_json_lines(shard: Shard, limits: ImageLimits, _: Path) -> Iterator[Item]:
    """Reads the lines of a shard. An empty line, or one that cannot be read, is a row with the reason."""
    longest = max(limits.max_bytes * 4 // 3, PIXELS * 5) + _MORE
    row = shard.first
    with Path(shard.path).open("rb") as file:
        file.seek(shard.offset)
        while file.tell() < shard.stop:
            line = file.readline(longest + 1)
            if len(line) > longest:
                while line and not line.endswith(b"\n"):
                    line = file.readline(_CHUNK)
                yield f"{shard.prefix}{row}", Problem(f"the line is longer than {longest:,} bytes")
            else:
                identity, content = _parsed(line)
                yield f"{shard.prefix}{row if identity is None else identity}", content
            row += 1


def _parsed(line: bytes) -> tuple[str | int | None, Content]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, Problem(f"not JSON: {error}")
    if not isinstance(value, dict):
        return None, Problem('expected an object such as {"id": "a", "image": "<base64>"}')
    identity = value.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int | None):
        return None, Problem("id must be a text or a whole number")
    return identity, _content(value)


def _content(value: dict[str, Any]) -> Content:
    pixels = value.get("pixels")
    if isinstance(pixels, list):
        if len(pixels) != PIXELS or not all(type(each) is int and 0 <= each <= 255 for each in pixels):
            return Problem(f"pixels must be {PIXELS} whole numbers from 0 to 255")
        return Raw(bytes(pixels))
    text = pixels if "pixels" in value else value.get("image")
    if not isinstance(text, str):
        return Problem("expected image, a picture in base64, or pixels, 784 bytes in base64 or 784 numbers")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        return Problem(f"not base64: {error}")
    if "pixels" not in value:
        return content
    return Raw(content) if len(content) == PIXELS else Problem(f"expected {PIXELS} pixels, got {len(content)}")
