"""Small files that cost gigabytes or minutes, found while fuzzing: all are refused, or read without that cost."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from serving.errors import InvalidRequestError
from serving.image.decode import decode
from serving.image.picture import ImageLimits
from tests.fuzz.tiff_file import (
    BITS,
    COMPRESSION,
    DATA_START,
    LONG,
    LZW,
    RATIONAL,
    ROWS_PER_STRIP,
    SLONG8,
    STRIP_BYTES,
    STRIP_OFFSETS,
    TILE_BYTES,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    grey_tiff,
)

LIMITS = ImageLimits(max_bytes=2_000_000, max_pixels=1_000_000)
LZW_DATA = b"\x80" * 10
EXIF = 34665


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp() -> Image.Image:
    """40 wide, 20 high, black on the left to white on the right."""
    return Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (20, 1)))


def tiled(side: int, data: bytes = LZW_DATA) -> bytes:
    """A TIFF of 10 x 10 pixels in one tile of `side` x `side`."""
    tags = {COMPRESSION: LZW, TILE_WIDTH: side, TILE_LENGTH: side, TILE_OFFSETS: DATA_START, TILE_BYTES: len(LZW_DATA)}
    return grey_tiff((10, 10), data, dict(tags))


def tiled_where_only_libtiff_looks(side: int) -> bytes:
    """The same, its tile's size in a type of eight bytes that Pillow's own parser passes over."""
    content = tiled(DATA_START + len(LZW_DATA), LZW_DATA + struct.pack("<Q", side))  # a value so long is an offset
    for tag in (TILE_WIDTH, TILE_LENGTH):
        content = content.replace(struct.pack("<HH", tag, LONG), struct.pack("<HH", tag, SLONG8))
    return content


def run_lengths(width: int, height: int) -> bytes:
    """A BMP of which each row is one pixel and the end of the row."""
    rows = b"\1\0\0\0" * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<III", 0, 0, 54 + 1024) + head + bytes(1024) + rows


def test_tiff_of_huge_tiles_is_refused_though_its_picture_is_small() -> None:
    """32752 x 32752 took 1 GB, 46336 x 46336 took 2, from 144 bytes."""
    with pytest.raises(InvalidRequestError, match="tiles of 32752 x 32752 pixels, at most 1,000,000 are accepted"):
        decode(tiled(32752), LIMITS)


def test_tiff_that_hides_the_size_of_its_tiles_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=f"a tag {TILE_WIDTH} that is no whole number"):
        decode(tiled_where_only_libtiff_looks(32752), LIMITS)


def test_tiff_whose_strips_cover_it_many_times_is_refused() -> None:
    """Of 5000 x 5000 pixels each strip took 3.7 ms, and 8 MB hold more than a million."""
    tags: dict[int, int | list[int]] = {BITS: 1, ROWS_PER_STRIP: 79, STRIP_BYTES: 800}
    twice = grey_tiff((80, 80), bytes(800), {**tags, STRIP_OFFSETS: [DATA_START] * 4})
    assert decode(twice, LIMITS).shape == (80, 80)
    with pytest.raises(InvalidRequestError, match="is covered more than 8 times by its parts"):
        decode(grey_tiff((80, 80), bytes(800), {**tags, STRIP_OFFSETS: [DATA_START] * 500}), LIMITS)


def test_tiff_of_very_many_strips_is_refused() -> None:
    """Two million, in 4 MB, took 10 seconds and 600 MB."""
    tags: dict[int, int | list[int]] = {ROWS_PER_STRIP: 1, STRIP_OFFSETS: [DATA_START] * 150_000, STRIP_BYTES: 1}
    with pytest.raises(InvalidRequestError, match="more than 100,000 values in its tags"):
        decode(grey_tiff((1, 150_000), b"\0", tags), LIMITS)


def test_tiff_with_very_many_values_besides_its_picture_is_refused() -> None:
    """A million fractions took 9 seconds: all that stands in these directories is read when the picture is decoded."""
    blob, blob_at = bytes(810_000), DATA_START + 256
    data = bytes(256) + blob + struct.pack("<HHHII4x", 1, 0x9000, RATIONAL, len(blob) // 8, blob_at)
    tags: dict[int, int | list[int]] = {STRIP_OFFSETS: DATA_START, STRIP_BYTES: 256}
    assert decode(grey_tiff((16, 16), data, tags), LIMITS).shape == (16, 16)
    with pytest.raises(InvalidRequestError, match="more than 100,000 values in its tags"):
        decode(grey_tiff((16, 16), data, {**tags, EXIF: blob_at + len(blob)}), LIMITS)


def test_bigtiff_is_refused() -> None:
    """Pillow and libtiff disagree about it, and no file of less than 4 GB needs it."""
    with pytest.raises(InvalidRequestError, match="BigTIFF"):
        decode(encoded(ramp(), "TIFF", big_tiff=True), LIMITS)


def test_jpeg_with_very_many_exif_segments_is_refused() -> None:
    """8 MB of them took 26 seconds: each is copied with all before it."""
    jpeg, segment = encoded(ramp(), "JPEG"), b"\xff\xe1" + struct.pack(">H", 9) + b"Exif\0\0A"
    with pytest.raises(InvalidRequestError, match="more than 4 Exif segments"):
        decode(jpeg[:2] + segment * 200 + jpeg[2:], LIMITS)


@pytest.mark.parametrize("piece", [b"\xff\xfe\0\2", b"\xff\xd0", b"\xff"], ids=["comments", "restarts", "fill bytes"])
def test_jpeg_in_very_many_pieces_is_refused(piece: bytes) -> None:
    """8 MB of them took 3 seconds: each is a step of Python."""
    jpeg = encoded(ramp(), "JPEG")
    with pytest.raises(InvalidRequestError, match="too many pieces"):
        decode(jpeg[:2] + piece * 250_000 + jpeg[2:], LIMITS)


def test_large_bmp_in_run_lengths_is_refused() -> None:
    """5000 x 5000, in 21 KB, took 5 seconds of Python, which other threads wait for."""
    with pytest.raises(InvalidRequestError, match="is run-length coded and has more than 1,000,000 pixels"):
        decode(run_lengths(1001, 1000), ImageLimits(2_000_000, 25_000_000))
    assert decode(run_lengths(100, 100), LIMITS).shape == (100, 100)


def test_very_long_thin_picture_is_refused() -> None:
    """25 million rows of one pixel took 1.6 GB and 5 seconds: each row costs, too."""
    with pytest.raises(InvalidRequestError, match="a side of 70,000 pixels, at most 65,535 are accepted"):
        decode(encoded(Image.new("L", (1, 70_000)), "PNG"), LIMITS)


def test_exif_larger_than_a_camera_writes_is_not_read() -> None:
    """7 MB of values of one tag took 2 seconds and 138 MB."""
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode(encoded(ramp(), "PNG", exif=turned.tobytes()), LIMITS).shape == (40, 20)
    assert decode(encoded(ramp(), "PNG", exif=turned.tobytes() + bytes(70_000)), LIMITS).shape == (20, 40)


def test_signalling_nan_is_refused_without_a_warning() -> None:
    """NumPy warned of it, in a line of its own on stderr. A quiet NaN goes unnoticed."""
    signalling = struct.pack("<I", 0x7FBFFFFF)
    tiff = encoded(Image.frombytes("F", (3, 3), signalling + bytes(32)), "TIFF")
    with pytest.raises(InvalidRequestError) as refused:
        decode(tiff, LIMITS)
    assert str(refused.value.__cause__) == "grey levels that are not finite"  # a warning would stand here
