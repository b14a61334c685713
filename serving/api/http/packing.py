"""Responses packed with gzip or deflate, for clients that accept it."""

import asyncio
import zlib

from starlette.requests import Request
from starlette.responses import Response

from serving.api.http.bodies import WINDOW

SHORTEST = 1024  # bytes that are worth packing: the usual response has 400
LONGEST_ON_LOOP = 64 * 1024  # longer ones on another thread: zlib releases the GIL


async def packed(request: Request, response: Response) -> Response:
    """Returns the response, of SHORTEST bytes at least, with its body packed where the client accepts that."""
    response.headers["Vary"] = "Accept-Encoding"
    encoding = _accepted(request.headers.get("accept-encoding", ""))
    if encoding is None:
        return response
    content = bytes(response.body)
    if len(content) > LONGEST_ON_LOOP:
        content = await asyncio.to_thread(_pack, content, encoding)
    else:
        content = _pack(content, encoding)
    response.body = content
    response.headers["Content-Encoding"] = encoding
    response.headers["Content-Length"] = str(len(content))
    return response


def _accepted(header: str) -> str | None:
    """Returns the first encoding of an Accept-Encoding that is known here and not refused with q=0."""
    for each in header.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in WINDOW and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name.strip()
    return None


def _pack(content: bytes, encoding: str) -> bytes:
    packer = zlib.compressobj(1, wbits=WINDOW[encoding])  # the fastest level
    return packer.compress(content) + packer.flush()
