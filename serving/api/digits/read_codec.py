"""Read's messages from and to bytes, by protobuf."""

from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import QUALITIES
from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError
from serving.readings import Glyph, Layout, Line, Reading


def parse_read(content: bytes) -> tuple[bytes, Layout, int]:
    """Returns picture file, layout and model version (0: none named) of a ReadRequest. Raises InvalidRequestError."""
    request = parse_message(digits_pb2.ReadRequest, content)
    try:
        layout = Layout(request.layout)
    except ValueError:  # of a newer contract, or none: protobuf keeps numbers that it does not know
        names = ", ".join(f"{each.value} ({each.name})" for each in Layout)
        raise InvalidRequestError(f"layout: expected {names}, got {request.layout}") from None
    return request.picture, layout, request.model_version


def reading_bytes(reading: Reading, request_id: str = "") -> bytes:
    """Returns the serialised ReadResponse. `request_id`: for feedback; empty: none is taken."""
    response = digits_pb2.ReadResponse(
        lines=map(_line, reading.lines),
        model_version=reading.version,
        quality=[QUALITIES[remark] for remark in reading.quality],
        width=reading.width,
        height=reading.height,
    )
    if request_id:
        response.request_id = request_id
    return response.SerializeToString()


def _line(line: Line) -> digits_pb2.Line:
    return digits_pb2.Line(
        text=line.text, probability=line.probability, refused=line.refused, digits=map(_glyph, line.glyphs)
    )


def _glyph(glyph: Glyph) -> digits_pb2.Glyph:
    x, y, width, height = glyph.box
    probabilities = glyph.probabilities.tolist()
    return digits_pb2.Glyph(
        digit=glyph.digit,
        probability=probabilities[glyph.digit],
        probabilities=probabilities,
        novelty=glyph.novelty,
        refused=glyph.refused,
        box=digits_pb2.Box(x=x, y=y, width=width, height=height),
    )
