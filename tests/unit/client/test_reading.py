"""The client's readings from and to bytes, and what may be a picture."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_digits import CallError, proto
from mnist_digits.images import picture_content
from mnist_digits.reading import LAYOUTS, Glyph, Layout, Line, Reading, read_request, response_reading

PLAIN = proto.ReadResponse(
    lines=[
        proto.Line(
            text="4",
            probability=0.5,
            digits=[
                proto.Glyph(
                    digit=4, probability=0.5, probabilities=[0.25] * 4, box=proto.Box(x=1, y=2, width=3, height=4)
                ),
                proto.Glyph(digit=7, novelty=1, refused=True),
            ],
        )
    ],
    model_version=2,
    quality=[proto.QUALITY_LOW_CONTRAST, 77],  # type: ignore[list-item]  # of a newer server
    width=20,
    height=30,
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("version", [0, 2**40])
def test_a_request_is_the_one_that_protobuf_writes(layout: Layout, version: int) -> None:
    request = proto.ReadRequest(picture=b"a file", layout=f"LAYOUT_{layout.upper()}", model_version=version)
    assert proto.ReadRequest.FromString(read_request(b"a file", layout, version)) == request


def test_another_layout_or_version_is_refused_before_anything_is_sent() -> None:
    wrong: Any = "word"
    with pytest.raises(ValueError, match="expected a layout of auto, digit, line, page, got 'word'"):
        read_request(b"a file", wrong, 0)
    with pytest.raises(ValueError, match="out of range"):
        read_request(b"a file", "auto", 2**63)


def test_a_response_becomes_lines_of_digits() -> None:
    reading = response_reading(PLAIN.SerializeToString())
    digits = (
        Glyph(4, 0.5, (0.25,) * 4, 0.0, False, (1, 2, 3, 4)),
        Glyph(7, 0.0, (), 1.0, True, (0, 0, 0, 0), index=1),
    )
    assert reading == Reading((Line("4", 0.5, False, digits),), 2, ("low_contrast", "77"), 20, 30)
    assert reading.text == "4"


def test_digits_are_counted_through_all_lines_and_know_their_request() -> None:
    lines = [proto.Line(digits=[proto.Glyph()] * signs) for signs in (2, 0, 3)]
    reading = response_reading(proto.ReadResponse(lines=lines, request_id="form-17").SerializeToString())
    assert reading.request_id == "form-17"
    assert [(line.request_id, line.index) for line in reading.lines] == [("form-17", index) for index in range(3)]
    glyphs = [glyph for line in reading.lines for glyph in line.digits]
    assert [(glyph.request_id, glyph.index) for glyph in glyphs] == [("form-17", index) for index in range(5)]


@settings(deadline=None)  # a busy machine stalls now and then
@given(st.data())
def test_any_damaged_response_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(PLAIN.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    code = "OK"
    try:
        response_reading(bytes(content))
    except CallError as error:
        code = error.code
    assert code in {"OK", "INTERNAL"}


@settings(deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([0, 1, 3, 4]), seed=st.integers(0))
def test_an_array_is_sent_as_a_png_that_pillow_reads_alike(height: int, width: int, channels: int, seed: int) -> None:
    shape = (height, width, channels) if channels else (height, width)
    picture = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(picture_content(picture))) as sent:
        assert np.array_equal(np.asarray(sent), picture.reshape(shape if channels > 1 else (height, width)))


def test_files_and_pillows_pictures_are_sent_as_classify_sends_them(tmp_path: Path) -> None:
    content = picture_content(np.zeros((3, 4), np.uint8))
    (tmp_path / "a.png").write_bytes(content)
    assert picture_content(tmp_path / "a.png") == picture_content(str(tmp_path / "a.png")) == content
    assert picture_content(bytearray(content)) == content
    with Image.open(io.BytesIO(picture_content(Image.new("RGB", (5, 6), "red")))) as sent:
        assert sent.size == (5, 6)


def test_784_bytes_of_pixels_become_a_picture_dark_on_light() -> None:
    with Image.open(io.BytesIO(picture_content(bytes(783) + b"\xff"))) as sent:
        assert sent.size == (28, 28)
        assert np.asarray(sent).reshape(-1).tolist() == [255] * 783 + [0]


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (np.zeros(784, np.uint8), ValueError),
        (np.zeros((0, 5), np.uint8), ValueError),
        (np.zeros((5, 5, 2), np.uint8), ValueError),
        (np.zeros((2, 5, 5, 1), np.uint8), ValueError),
        (np.zeros((5, 5), np.float32), ValueError),
        ([[0] * 28] * 28, TypeError),
        (7, TypeError),
        (None, TypeError),
        ("no such file", FileNotFoundError),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused(picture: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        picture_content(picture)
