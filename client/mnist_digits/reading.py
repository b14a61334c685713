"""Readings: the lines of digits in one picture, each digit with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

from google.protobuf.message import DecodeError

from mnist_digits import proto
from mnist_digits.errors import CallError
from mnist_digits.images import PictureLike, picture_content
from mnist_digits.results import enum_name

# What a picture holds: one digit, one line or several lines; "auto": the server decides.
Layout = Literal["auto", "digit", "line", "page"]
LAYOUTS: tuple[Layout, ...] = ("auto", "digit", "line", "page")
_NUMBERS = {
    "auto": proto.LAYOUT_AUTO,
    "digit": proto.LAYOUT_DIGIT,
    "line": proto.LAYOUT_LINE,
    "page": proto.LAYOUT_PAGE,
}


@dataclass(frozen=True, slots=True)
class Glyph:
    """One sign of a line, read as a digit. A letter or a comma is there too, and refused."""

    digit: int  # 0 to 9, the most probable; given also when refused
    probability: float  # of `digit`, calibrated, 0.1 to 1
    probabilities: tuple[float, ...]  # of the digits 0 to 9, calibrated, summing to 1
    novelty: float  # 0: a typical digit; 1: no digit
    refused: bool  # True: probably no digit
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the upright picture
    request_id: str = ""  # for `feedback`; empty: the server takes none
    index: int = 0  # of the sign among those of all lines


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a picture."""

    text: str  # the digits that are not refused, in reading order
    probability: float  # that the whole line is right, calibrated, 0 to 1
    refused: bool  # True: something as large as a digit could not be read; `text` may lack digits
    digits: tuple[Glyph, ...]  # what stands on the line, in reading order
    request_id: str = ""  # for `feedback`; empty: the server takes none
    index: int = 0  # of the line in the picture


@dataclass(frozen=True, slots=True)
class Reading:
    """The service's reading of one picture."""

    lines: tuple[Line, ...]  # in reading order; none where no ink stands out from the paper
    model_version: int  # version of the model that answered
    quality: tuple[str, ...]  # what may be wrong with the picture: "touches_border", "low_contrast", ...
    width: int  # of the upright picture, in pixels
    height: int
    request_id: str = ""  # empty: the server takes no feedback

    @property
    def text(self) -> str:
        """Texts of all lines, a line each."""
        return "\n".join(line.text for line in self.lines)


def read_request(picture: PictureLike, layout: Layout, model_version: int) -> bytes:
    """Serializes a ReadRequest. Raises what `picture_content` raises, and ValueError for another layout or version."""
    if layout not in _NUMBERS:
        raise ValueError(f"expected a layout of {', '.join(LAYOUTS)}, got {layout!r}")
    request = proto.ReadRequest(picture=picture_content(picture), layout=_NUMBERS[layout], model_version=model_version)
    return request.SerializeToString()


def response_reading(content: bytes) -> Reading:
    """Parses a serialized ReadResponse. Raises CallError, code INTERNAL, for bytes that are no such response."""
    try:
        response = proto.ReadResponse.FromString(content)
    except DecodeError as error:
        raise CallError("INTERNAL", f"the server's answer is no ReadResponse: {error}") from error
    signs = count()  # through all lines
    return Reading(
        lines=tuple(_line(line, index, response.request_id, signs) for index, line in enumerate(response.lines)),
        model_version=response.model_version,
        quality=tuple(enum_name(proto.Quality.DESCRIPTOR, remark) for remark in response.quality),
        width=response.width,
        height=response.height,
        request_id=response.request_id,
    )


def _line(message: proto.Line, index: int, request_id: str, signs: Iterator[int]) -> Line:
    return Line(
        text=message.text,
        probability=message.probability,
        refused=message.refused,
        digits=tuple(_glyph(glyph, next(signs), request_id) for glyph in message.digits),
        request_id=request_id,
        index=index,
    )


def _glyph(message: proto.Glyph, index: int, request_id: str) -> Glyph:
    box = message.box
    return Glyph(
        digit=message.digit,
        probability=message.probability,
        probabilities=tuple(message.probabilities),
        novelty=message.novelty,
        refused=message.refused,
        box=(box.x, box.y, box.width, box.height),
        request_id=request_id,
        index=index,
    )
