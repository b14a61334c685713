"""The work of decoding a picture, as its header says: found for every format, and never less than Pillow sees."""

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from serving.image.decode import FORMATS
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


@pytest.mark.parametrize("file", [b"", b"\xff\xd8", b"BM", b"RIFF", b"II*\0", b"no picture", SEEDS[0][:25]])
def test_size_that_is_not_found_costs_the_most(file: bytes) -> None:
    assert decoding_units(file, LIMITS) == most_units(LIMITS)


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
            pixels = picture.width * picture.height
    except Exception:  # decode() refuses it as soon
        return
    assert decoding_units(file, LIMITS) >= math.ceil(min(pixels, LIMITS.max_pixels) / CHEAPEST / UNIT)
