import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from serving.errors import InvalidRequestError
from serving.image.decode import decode, decode_upright
from serving.image.picture import ImageLimits, is_small_png

LIMITS = ImageLimits(max_bytes=100_000, max_pixels=1_000_000)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp() -> Image.Image:
    """40 wide, 20 high, black on the left to white on the right."""
    return Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (20, 1)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_each_listed_format_is_read(kind: str) -> None:
    grey = decode(encoded(ramp(), kind), LIMITS)
    assert grey.shape == (20, 40)
    assert np.abs(grey.astype(int) - np.asarray(ramp())).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "F", "I"])
def test_every_colour_mode_becomes_grey_levels_from_dark_to_light(mode: str) -> None:
    wide = Image.fromarray(np.asarray(ramp()).astype(np.uint16) * 257)
    picture = wide if mode == "I;16" else ramp().convert(mode)
    grey = decode(encoded(picture, "TIFF" if mode in ("CMYK", "F", "I", "LA") else "PNG"), LIMITS)
    assert grey.dtype == np.uint8
    assert grey[:, :10].mean() < 60 < 190 < grey[:, 30:].mean()


def test_transparent_paper_is_white_under_dark_ink_and_black_under_white_ink() -> None:
    for ink, paper in ((0, 255), (255, 0)):
        picture = Image.new("LA", (30, 30), (ink, 0))
        picture.paste((ink, 255), (10, 10, 20, 20))
        grey = decode(encoded(picture), LIMITS)
        assert (grey[15, 15], grey[0, 0]) == (ink, paper)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_turned_by_exif_is_turned_back(orientation: int, kind: str) -> None:
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = encoded(picture, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(file)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("L"))
    found = decode_upright(file, LIMITS, 1)
    assert found.grey.tolist() == upright.tolist()
    assert (found.height, found.width) == upright.shape


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}, {"lossless": True, "exif": b""}], ids=str)
def test_a_webp_is_read_as_pillow_reads_it(mode: str, options: dict[str, object]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (300, 1201, len(mode)), np.uint8)  # bands of rows, and a rest
    file = encoded(Image.fromarray(levels, mode), "WEBP", **options)
    with Image.open(io.BytesIO(file)) as opened:
        white = Image.new("RGBA", opened.size, "white")
        expected = np.asarray(Image.alpha_composite(white, opened.convert("RGBA")).convert("L")).astype(int)
    grey = decode(file, ImageLimits(max_bytes=len(file), max_pixels=1_000_000))
    assert np.abs(grey - expected).max() <= 2


def test_of_an_animated_webp_the_first_picture_is_read() -> None:
    first, second = (Image.new("L", (40, 30), level) for level in (60, 200))
    file = encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    grey = decode(file, LIMITS)
    assert (grey.shape, np.unique(grey).tolist()) == ((30, 40), [60])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_whose_exif_is_garbage_is_read_as_it_is(kind: str) -> None:
    assert decode(encoded(ramp(), kind, exif=b"Exif\0\0" + b"\xff" * 50), LIMITS).shape == (20, 40)


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    plain = encoded(ramp().resize((150, 150)), "JPEG", progressive=True)
    last = plain.rindex(b"\xff\xda")
    assert decode(plain, LIMITS).shape == (150, 150)
    with pytest.raises(InvalidRequestError, match="more than 40 scans"):
        decode(plain[:-2] + plain[last:-2] * 200 + plain[-2:], LIMITS)


def test_a_phones_jpeg_of_several_pictures_is_read_and_its_scans_are_counted_too() -> None:
    several = encoded(ramp(), "MPO", save_all=True, append_images=[ramp()])  # Pillow gives it a format of its own
    assert decode(several, LIMITS).shape == (20, 40)
    with pytest.raises(InvalidRequestError, match="more than 40 scans"):
        decode(several + b"\xff\xda" * 101, LIMITS)


def test_a_large_jpeg_is_decoded_at_the_least_scale_that_leaves_the_side() -> None:
    jpeg = encoded(ramp().resize((1000, 500)), "JPEG")
    for side, shape in ((500, (500, 1000)), (240, (250, 500)), (100, (125, 250)), (1, (63, 125))):
        assert decode(jpeg, LIMITS, side).shape == shape


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF"])
def test_a_large_picture_of_another_format_keeps_its_size(kind: str) -> None:
    assert decode(encoded(ramp().resize((300, 300)), kind), LIMITS, side=100).shape == (300, 300)


def test_one_pixel_and_one_row_are_pictures() -> None:
    assert decode(encoded(Image.new("L", (1, 1))), LIMITS).shape == (1, 1)
    assert decode(encoded(Image.new("L", (5000, 1))), LIMITS).shape == (1, 5000)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG's beginning: its claimed size, and pixels that are announced and never come."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 9999)
        + b"IDAT"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"x" * 100_001, "has 100,001 bytes, at most 100,000 are accepted"),
        (b"this is text", "not an image this service reads .PNG, JPEG"),
        (png_claiming(60_000, 60_000), "3,600,000,000 pixels, at most 1,000,000 are accepted"),
        (png_claiming(100, 100), "the PNG image is truncated or damaged"),
        (encoded(Image.new("L", (300, 300), 7))[:-30], "the PNG image is truncated or damaged"),
        (encoded(ramp().resize((400, 400)), "JPEG")[:-500], "the JPEG image is truncated or damaged"),
        (encoded(ramp(), "GIF"), "not an image this service reads"),
    ],
)
def test_what_is_no_whole_small_picture_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        decode(content, LIMITS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_grey_levels_that_are_not_finite_are_refused(value: float) -> None:
    picture = Image.fromarray(np.full((5, 5), value, np.float32))
    with pytest.raises(InvalidRequestError, match="truncated or damaged"):
        decode(encoded(picture, "TIFF"), LIMITS)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"eXIf"])
def test_a_png_with_packed_texts_or_exif_is_not_small(kind: bytes) -> None:
    plain = encoded(ramp())
    chunk = kind + b"x\0\0" + zlib.compress(bytes(10**6))
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert is_small_png(plain)
    assert not is_small_png(plain[:33] + packed + plain[33:])


@pytest.mark.parametrize(
    ("size", "kind", "is_small"),
    [((256, 256), "PNG", True), ((257, 256), "PNG", False), ((28, 28), "JPEG", False), ((1, 65_536), "PNG", True)],
)
def test_a_small_png_is_known_by_its_header(size: tuple[int, int], kind: str, is_small: bool) -> None:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, kind)
    assert is_small_png(buffer.getvalue()) is is_small
    assert not is_small_png(buffer.getvalue() + bytes(2**16))
    assert not is_small_png(buffer.getvalue()[:7])
    assert not is_small_png(buffer.getvalue() + buffer.getvalue())  # a second header may say another size
