"""Bodies of /v1/classify and /v1/read as people send them: pixels or a file as they are, forms, JSON, data URLs.

1. What a body is, it says itself; its Content-Type decides only where it could be two things. curl calls everything a
   form, and programs often say nothing.
2. 784 bytes are the pixels of one image, unless they begin like a picture file or are text.
3. A form and JSON may hold several images. JSON holds numbers, or pictures in base64 or as data URLs.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.api.http.bodies import LONGEST_JSON, RefusedError, is_mostly_brackets
from serving.api.image_lists import decoded_picture, pixels_of_numbers
from serving.core.picture_decoder import EncodedImage, ImageInput, Images
from serving.errors import InvalidRequestError
from serving.predictions import PIXELS, SIDE

LONGEST_TYPE = 512  # of a form; the usual one has 70
LONGEST_ON_LOOP = 64 * 1024  # of a form or JSON that is parsed without another thread
logging.getLogger("python_multipart").disabled = True  # a line for each bad form, unstructured
_MOST_FIELDS = 16  # of a form, beyond its images
_SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"BM",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
)  # a picture file may be 784 bytes long, too
_IMAGE_KEYS = ("image", "pixels", "images", "instances", "data")
_ONE_IMAGE = ((PIXELS,), (SIDE, SIDE), (SIDE, SIDE, 1))
_TEXT = frozenset(range(32, 127)) | {9, 10, 13}


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds. `is_list`: the response is a list, though there may be one image."""

    images: Images
    is_list: bool = False


def is_form(content_type: str) -> bool:
    """Returns True for the Content-Type of a form with files."""
    is_long = len(content_type) > LONGEST_TYPE  # parsing one takes time that grows with its square
    return content_type[:19].lower() == "multipart/form-data" and "boundary" in content_type and not is_long


async def read_body(content_type: str, body: bytes, most_images: int) -> Body:
    """Reads the images of a body. Raises InvalidRequestError or RefusedError, with the one thing to change."""
    if is_form(content_type) and b"\r\n" in body:
        return await _apart(body, lambda: _form(content_type, body, most_images))
    if is_pixels(body):
        return Body(np.frombuffer(body, np.uint8).reshape(1, PIXELS))
    start = body[:64].lstrip()[:1]
    if start in (b"[", b"{", b'"') and not body.startswith(_SIGNATURES):
        return await _apart(body, lambda: _json(body, most_images))
    if body[:5] == b"data:":
        return Body([EncodedImage(decoded_picture(_decoded(body)))])
    if not body:
        raise InvalidRequestError("the body is empty: send a picture file, or 784 bytes, one for each pixel")
    return Body([EncodedImage(body)])


async def read_picture(content_type: str, body: bytes) -> bytes:
    """Reads the one picture file of a body. Raises as read_body() does, and for pixels, which are no picture file."""
    [image] = (await read_body(content_type, body, most_images=1)).images
    if not isinstance(image, EncodedImage):
        raise InvalidRequestError("expected a picture file, got the pixels of one digit: /v1/classify takes those")
    return image.content


def is_pixels(body: bytes) -> bool:
    """Returns True for 784 bytes that are neither a file nor text."""
    return len(body) == PIXELS and not body.startswith(_SIGNATURES) and not _TEXT.issuperset(body)


async def _apart(body: bytes, read: Callable[[], Body]) -> Body:
    """Reads a long body on another thread, so that it holds up no other call."""
    return read() if len(body) <= LONGEST_ON_LOOP else await asyncio.to_thread(read)


def _form(content_type: str, body: bytes, most_images: int) -> Body:
    images = [_file(part) for part in _parts(content_type, body, most_images + _MOST_FIELDS) if part.is_file]
    if not images:
        raise InvalidRequestError("the form holds no file: send one, as `curl -F file=@digit.png` does")
    _check_count(images, most_images)
    return Body(images, is_list=len(images) > 1)


@dataclass(slots=True)
class _Part:
    header: bytes = b""  # the name of the header that is being read
    value: bytes = b""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)  # bytes would be copied at each piece


def _parts(content_type: str, body: bytes, most: int) -> list[_Part]:
    parts: list[_Part] = []

    def begin() -> None:
        if len(parts) == most:
            raise InvalidRequestError(f"the form has more than {most} parts")
        parts.append(_Part())

    def header_field(data: bytes, start: int, end: int) -> None:
        parts[-1].header += data[start:end]

    def header_value(data: bytes, start: int, end: int) -> None:
        parts[-1].value += data[start:end]

    def header_end() -> None:
        part = parts[-1]
        if part.header.lower() == b"content-disposition":
            part.is_file = b"filename" in parse_options_header(part.value)[1]
        part.header = part.value = b""

    def data(content: bytes, start: int, end: int) -> None:
        parts[-1].content += content[start:end]

    try:
        boundary = parse_options_header(content_type)[1][b"boundary"]
        callbacks: Any = {
            "on_part_begin": begin,
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": header_end,
            "on_part_data": data,
        }
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, KeyError) as error:
        raise InvalidRequestError(f"the form cannot be read: {str(error)[:100]}") from error
    return parts


def _file(part: _Part) -> ImageInput:
    content = bytes(part.content)
    return content if is_pixels(content) else EncodedImage(content)


def _json(body: bytes, most_images: int) -> Body:
    if len(body) > LONGEST_JSON:
        raise RefusedError(
            413, "INVALID_ARGUMENT", f"JSON is at most {LONGEST_JSON} bytes; send files, or fewer images a request"
        )
    if is_mostly_brackets(body):
        raise InvalidRequestError("the JSON holds hardly anything but brackets")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body begins like JSON and is none: {str(error)[:100]}") from error
    is_list = False
    if isinstance(document, dict):
        key = next((key for key in _IMAGE_KEYS if key in document), None)
        if key is None:
            raise InvalidRequestError(f"the JSON object holds no image: put it under one of {', '.join(_IMAGE_KEYS)}")
        document, is_list = document[key], key in ("images", "instances")
    entries = _entries(document)
    if entries is not None:
        document, is_list = entries, True
    images = document if is_list and isinstance(document, list) else [document]
    _check_count(images, most_images)
    return Body([_entry(index, entry) for index, entry in enumerate(images)], is_list)


def _entries(document: Any) -> list[Any] | None:
    """Returns the images of a list of images; None for what is one image."""
    if not isinstance(document, list) or not document:
        return None
    shape: list[int] = []
    inner: Any = document
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    is_many = isinstance(inner, str | dict) or (tuple(shape) not in _ONE_IMAGE and tuple(shape[1:]) in _ONE_IMAGE)
    return document if is_many else None


def _entry(index: int, entry: Any) -> ImageInput:
    try:
        if isinstance(entry, dict):
            key = next((key for key in ("b64", *_IMAGE_KEYS) if key in entry), None)
            if key is None:
                raise InvalidRequestError('a picture is {"b64": "..."}, its file in base64')
            entry = entry[key]
        if isinstance(entry, str):
            return EncodedImage(decoded_picture(entry))
        return pixels_of_numbers(entry)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"image {index}: {error}") from error


def _check_count(images: list[Any], most: int) -> None:
    if not 1 <= len(images) <= most:
        accepted = f"1 to {most} are" if most > 1 else "1 is"
        raise InvalidRequestError(f"the request holds {len(images)} images, {accepted} accepted")


def _decoded(body: bytes) -> str:
    try:
        return body.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequestError("the body begins like a data URL and holds other things than ASCII") from error
