"""Formats are told by first bytes, as Pillow writes them and as phones do."""

import io
from pathlib import Path

import pytest
from PIL import Image

from mnist_digits.command.file_format import HEAD_BYTES, NOT_READ, READ, picture_format

SAMPLES = Path(__file__).parents[3] / "samples"
SUFFIX_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WebP",
    ".tiff": "TIFF",
    ".bin": None,
    ".md": None,
}


def head(name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, name, **options)
    return file.getvalue()[:HEAD_BYTES]


@pytest.mark.parametrize("name", [*READ, "AVIF", "GIF"])
def test_what_pillow_writes_is_known(name: str) -> None:
    assert picture_format(head(name.upper())) == name


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_samples_are_known(sample: Path) -> None:
    assert picture_format(sample.read_bytes()[:HEAD_BYTES]) == SUFFIX_FORMATS.get(sample.suffix)


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avif\0\0\0\0avifmif1", "AVIF"),
        (b"isom\0\0\0\0isommp42", None),
        (b"qt  ", None),
    ],
)
def test_files_of_phones_are_told_by_all_their_brands(brands: bytes, name: str | None) -> None:
    assert picture_format(b"\0\0\0\x18ftyp" + brands) == name


@pytest.mark.parametrize(
    "head",
    [b"", b"BM", b"BMW and other cars, in a text of some length", b"RIFF\x10\0\0\0WAVEfmt ", b"%PDF-1.7", b"II*"],
)
def test_anything_else_is_no_picture(head: bytes) -> None:
    assert picture_format(head) is None


def test_no_format_is_read_and_not_read() -> None:
    assert not set(READ) & set(NOT_READ)
