"""The work of decoding a picture, as its header says: found for every format, and never less than Pillow sees."""

import io
import math
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from serving.errors import InvalidRequestError
from serving.image.decode import FORMATS, decode
from serving.image.header import UNIT, decoding_units, most_units
from serving.image.picture import ImageLimits
from tests.support.examples import examples
from tests.support.pictures import file_of

LIMITS = ImageLimits(max_bytes=8 * 2**20, max_pixels=36_000_000)
CHEAPEST = 4  # times less work than in colour: grey levels, and a JPEG that is reduced while it is decoded
FORMS: dict[str, dict[str, object]] = {
    "PNG": {"form": "PNG"},
    "JPEG": {"form": "JPEG"},
    "progressive JPEG": {"form": "JPEG", "progressive": True},
    "BMP": {"form": "BMP"},
    "WEBP": {"form": "WEBP"},
    "lossless WEBP": {"form": "WEBP", "lossless": True},
    "WEBP with metadata": {"form": "WEBP", "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
    "TIFF": {"form": "TIFF"},
    "packed TIFF": {"form": "TIFF", "compression": "tiff_lzw"},
}


def encoded(name: str, width: int, height: int, mode: str = "RGB") -> bytes:
    return file_of(Image.new(mode, (width, height), 1), **FORMS[name])  # type: ignore[arg-type]  # as above


SEEDS = [
    *(encoded(name, 1500, 1100) for name in FORMS),
    *(encoded(name, 1500, 1100, "L") for name in ("PNG", "JPEG", "TIFF")),
]


def test_every_format_that_is_read_is_known() -> None:
    assert {options["form"] for options in FORMS.values()} == set(FORMATS)


@pytest.mark.parametrize("name", FORMS)
@examples(10)
@given(st.integers(1, 2000), st.integers(1, 2000))
def test_pixels_are_found(name: str, width: int, height: int) -> None:
    file = encoded(name, width, height)
    pixels = math.ceil(width * height / (CHEAPEST if name == "JPEG" else 1))
    assert decoding_units(file, LIMITS) == math.ceil(max(pixels, len(file)) / UNIT)


def test_grey_levels_and_palettes_cost_less_than_colours_and_wide_levels() -> None:
    units = [decoding_units(encoded("PNG", 4096, 1024, mode), LIMITS) for mode in ("RGB", "P", "L", "I;16")]
    assert units == [64, 32, 16, 64]


@pytest.mark.parametrize("file", [b"\xff\xd8", b"BM", b"RIFF", b"II*\0", b"MM\0+", SEEDS[0][:25], SEEDS[0][:40]])
def test_size_that_is_not_found_costs_the_most(file: bytes) -> None:
    assert decoding_units(file, LIMITS) == most_units(LIMITS)


@pytest.mark.parametrize("file", [b"", b"no picture", b"GIF89a", b"%PDF", bytes(784)])
def test_what_is_no_picture_costs_its_bytes(file: bytes) -> None:
    assert decoding_units(file, LIMITS) == 1


def test_transparency_is_flattened_in_colour() -> None:
    grey = Image.new("L", (4096, 1024), 1)
    assert [decoding_units(file, LIMITS) for file in (file_of(grey), file_of(grey, transparency=1))] == [16, 64]


@pytest.mark.parametrize("components", [3, 4])
def test_jpeg_of_several_scans_is_held_as_a_whole(components: int) -> None:
    one, several = (flat_jpeg(8000, 8000, components, is_split) for is_split in (False, True))
    assert decoding_units(one, LIMITS) == math.ceil(64e6 / CHEAPEST / UNIT)
    assert decode(one, LIMITS).shape == (1000, 1000)
    assert decoding_units(several, LIMITS) == most_units(LIMITS)
    with pytest.raises(InvalidRequestError, match="of one scan"):
        decode(several, LIMITS)


def test_whole_tiles_of_a_tiff_are_counted_and_bounded() -> None:
    few, many = (tiled_tiff(1, 16 * tiles, 100_000, 16, tiles) for tiles in (2, 200))
    assert decoding_units(few, LIMITS) == math.ceil(100_000 * 32 / UNIT)
    assert decode(few, LIMITS).shape == (32, 1)
    with pytest.raises(InvalidRequestError, match="200 tiles of 100000 x 16"):
        decode(many, LIMITS)


changes = st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=6)), max_size=6)


@examples(300)
@given(st.sampled_from(SEEDS), changes)
def test_no_changed_bytes_make_a_picture_cheaper_than_pillow_sees_it(
    seed: bytes, changes: list[tuple[int, bytes]]
) -> None:
    changed = bytearray(seed)
    for at, piece in changes:
        changed[at : at + len(piece)] = piece
    check_not_cheaper(bytes(changed))


@examples(300)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.integers(0, 400), st.integers(0, 400), st.integers(0, 60))
def test_no_piece_of_another_file_makes_a_picture_cheaper(seed: bytes, other: bytes, at: int, of: int, n: int) -> None:
    check_not_cheaper(seed[:at] + other[of : of + n] + seed[at:])


def check_not_cheaper(file: bytes) -> None:
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as picture:
            pixels = picture.width * picture.height / share(picture)
    except Exception:  # decode() refuses it as soon
        return
    assert decoding_units(file, LIMITS) >= math.ceil(min(pixels, LIMITS.max_pixels) / UNIT)


def share(picture: Image.Image) -> int:
    """How many times less work a picture is than one in colour."""
    if picture.format == "PNG" and "transparency" not in picture.info:
        return {"1": CHEAPEST, "L": CHEAPEST, "P": 2}.get(picture.mode, 1)
    return CHEAPEST if picture.format in ("JPEG", "MPO") and not picture.info.get("progressive") else 1


def flat_jpeg(width: int, height: int, components: int, is_split: bool) -> bytes:
    """A baseline JPEG of one level, with a scan for all components or one for each. A block takes two bits."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    def scan(numbers: range) -> bytes:
        bits = 2 * math.ceil(width / 8) * math.ceil(height / 8) * len(numbers)
        which = b"".join(bytes([number, 0]) for number in numbers)
        return segment(0xDA, bytes([len(numbers)]) + which + bytes([0, 63, 0])) + bytes(math.ceil(bits / 8))

    each = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    tables = segment(0xDB, b"\0" + bytes([1] * 64))  # quantisation; then a code of one bit each for DC and AC
    tables += b"".join(segment(0xC4, bytes([kind << 4, 1, *[0] * 15, 0])) for kind in (0, 1))
    numbers = [range(n, n + 1) for n in range(1, components + 1)] if is_split else [range(1, components + 1)]
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, components) + each)
    return b"\xff\xd8" + tables + frame + b"".join(map(scan, numbers)) + b"\xff\xd9"


def tiled_tiff(width: int, height: int, tile_width: int, tile_length: int, tiles: int) -> bytes:
    """A grey TIFF whose tiles are all the same packed zeros."""
    packed = zlib.compress(bytes(tile_width * tile_length), 9)
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_width, 323: tile_length}
    arrays = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [(tag, 1, value) for tag, value in tags.items()]
    entries += [(324, tiles, arrays), (325, tiles, arrays + 4 * tiles)]
    directory = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in entries)
    offsets = struct.pack(f"<{tiles}I", *[arrays + 8 * tiles] * tiles)
    sizes = struct.pack(f"<{tiles}I", *[len(packed)] * tiles)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + offsets + sizes + packed
