"""The seeds of the target intake: small pictures of every listed format, and what must be refused."""

import io
import math
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin

from tests.fuzz.tiff_file import (
    BITS,
    COMPRESSION,
    DATA_START,
    DEFLATE,
    LONG,
    LZW,
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

Seeds = dict[str, bytes]
TURNED = Image.Exif()
TURNED[0x0112] = 6


def listed() -> Seeds:
    """Whole pictures of the formats that the service reads."""
    return _png() | _jpeg() | _bmp() | _webp() | _tiff()


def bombs() -> Seeds:
    """Small files that would cost gigabytes or minutes: all must be refused."""
    huge = Image.new("1", (8600, 8600))
    jpeg = _encoded(digit(), "JPEG", optimize=True)
    frame = jpeg.index(b"\xff\xc0") + 5
    progressive = _encoded(digit((8, 8)), "JPEG", progressive=True, optimize=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    exif = b"\xff\xe1" + struct.pack(">H", 9) + b"Exif\0\0A"
    animated, lossless = _webp()["animated.webp"], _webp()["lossless.webp"]
    covers: dict[int, int | list[int]] = {
        BITS: 1,
        ROWS_PER_STRIP: 79,
        STRIP_OFFSETS: [DATA_START] * 500,
        STRIP_BYTES: 800,
    }
    return {
        "png-8600x8600.png": _encoded(huge, "PNG"),
        "png-2147483647x2147483647.png": _png_file(2**31 - 1, 2**31 - 1, 8, 0, b""),
        "png-text.png": _with_chunk(_encoded(digit(), "PNG"), b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000), 9)),
        "jpeg-65500x65500.jpg": _with(jpeg, frame, struct.pack(">HH", 65500, 65500)),
        "jpeg-110-scans.jpg": progressive[:-2] + last_scan * 105 + progressive[-2:],
        "jpeg-200-exif-segments.jpg": jpeg[:2] + exif * 200 + jpeg[2:],
        "webp-16383x16383-animated.webp": _with(animated, 24, struct.pack("<I", 16382)[:3] * 2),
        "webp-16384x16384-lossless.webp": _with(lossless, 21, struct.pack("<I", 16383 | 16383 << 14)),
        "tiff-8600x8600.tiff": _encoded(huge, "TIFF", compression="group4"),
        "tiff-4294967295x4294967295.tiff": grey_tiff((2**32 - 1,) * 2, b"\0", {STRIP_OFFSETS: 8, STRIP_BYTES: 1}),
        "tiff-tile-32752x32752.tiff": grey_tiff((10, 10), *_tiles(32752, LZW, b"\x80" * 10)),
        "tiff-covered-250-times.tiff": grey_tiff((80, 80), bytes(800), covers),
        "tiff-hidden-tile-32752x32752.tiff": _hidden_tile(32752),
        "bmp-2147483647x1000.bmp": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 2**31 - 1, 1000, 1, 8, *[0] * 6),
    }


def truncated() -> Seeds:
    """Pictures that end too early."""
    whole = listed()
    names = ("grey.png", "interlaced.png", "colour.jpg", "progressive.jpg", "colour.bmp", "lossy.webp", "lzw.tiff")
    return {f"{share}-{name}": whole[name][: len(whole[name]) * share // 100] for name in names for share in (30, 90)}


def unlisted() -> Seeds:
    """What is no picture that the service reads, whatever else reads it: all must be refused."""
    written = {"gif": "GIF", "ico": "ICO", "ppm": "PPM", "eps": "EPS", "pdf": "PDF", "jp2": "JPEG2000"}
    written |= {"tga": "TGA", "dds": "DDS", "avif": "AVIF", "pcx": "PCX", "sgi": "SGI", "im": "IM", "xbm": "XBM"}
    small = digit().resize((16, 16))
    seeds = {f"small.{suffix}": _encoded(small.convert(_mode_for(kind)), kind) for suffix, kind in written.items()}
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2"]
    cards += ["NAXIS1  =                    8", "NAXIS2  =                    8", "END"]
    png = _encoded(small, "PNG")
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 8, 8, 8, 1) + bytes(12) + bytes(2 + 64)
    return seeds | {
        "small.icns": b"icns" + struct.pack(">I", 16 + len(png)) + b"ic07" + struct.pack(">I", 8 + len(png)) + png,
        "small.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><path d="M1 1v6"/></svg>',
        "not-finite.tiff": _encoded(Image.new("F", (3, 3), math.nan), "TIFF"),
        "not-finite-signalling.tiff": _encoded(Image.frombytes("F", (1, 1), b"\xff\xff\xbf\x7f"), "TIFF"),
        "small-big.tiff": _encoded(small, "TIFF", big_tiff=True),
        "small.psd": psd,
        "small.fits": "".join(card.ljust(80) for card in cards).encode() + bytes(64),
        "empty": b"",
        "text.txt": b"this is text",
        "raw-pixels": bytes(784),
    }


def digit(size: tuple[int, int] = (24, 20), paper: int = 255, ink: int = 0) -> Image.Image:
    """A seven, in grey levels."""
    picture = Image.new("L", size, paper)
    width, height = size
    corners = [(width * 0.3, height * 0.2), (width * 0.7, height * 0.2), (width * 0.45, height * 0.85)]
    ImageDraw.Draw(picture).line(corners, fill=ink, width=max(2, width // 10))
    return picture


def _png() -> Seeds:
    grey = digit()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "seven", zip=True)
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    faint = Image.merge("LA", (Image.new("L", grey.size), grey.point(lambda level: 255 - level)))
    large = digit((300, 200))
    uneven = Image.fromarray(np.minimum(np.asarray(large), np.linspace(140, 250, 300).astype(np.uint8)[None, :]))
    modes = {"bilevel": "1", "palette": "P", "colour": "RGB", "colour-alpha": "RGBA"}
    return {f"{name}.png": _encoded(grey.convert(mode), "PNG") for name, mode in modes.items()} | {
        "grey.png": _encoded(grey, "PNG"),
        "light-on-dark.png": _encoded(digit((28, 28), 10, 240), "PNG"),
        "grey-alpha.png": _encoded(faint, "PNG"),
        "grey-16.png": _encoded(_wide(), "PNG"),
        "transparent-palette.png": _encoded(grey.convert("P"), "PNG", transparency=255),
        "interlaced.png": _png_file(8, 8, 8, 1, zlib.compress(_interlaced_rows())),
        "colour-16.png": _png_file(2, 2, 16, 0, zlib.compress(b"\0" + bytes(range(12)) + b"\0" + bytes(12)), kind=2),
        "animated.png": _encoded(grey, "PNG", save_all=True, append_images=[digit(ink=90)], duration=50),
        "described.png": _encoded(grey, "PNG", exif=TURNED, pnginfo=text, dpi=(90, 90), icc_profile=b"profile" * 9),
        "large.png": _encoded(large, "PNG"),
        "large-uneven.png": _encoded(uneven, "PNG"),
        "one-pixel.png": _encoded(Image.new("L", (1, 1)), "PNG"),
        "one-row.png": _encoded(Image.new("L", (400, 1)), "PNG"),
        "blank.png": _encoded(Image.new("L", (30, 30), 200), "PNG"),
    }


def _jpeg() -> Seeds:
    colour = digit().convert("RGB")
    return {
        "grey.jpg": _encoded(digit(), "JPEG", optimize=True),
        "colour.jpg": _encoded(colour, "JPEG", optimize=True, exif=TURNED, comment=b"seven"),
        "progressive.jpg": _encoded(colour, "JPEG", progressive=True, optimize=True),
        "cmyk.jpg": _encoded(colour.convert("CMYK"), "JPEG", optimize=True),
        "several.jpg": _encoded(digit(), "MPO", save_all=True, append_images=[digit(ink=90)], optimize=True),
        "large.jpg": _encoded(digit((240, 256)), "JPEG", quality=30, optimize=True),
        "restarts.jpg": _encoded(colour, "JPEG", optimize=True, restart_marker_blocks=1, icc_profile=b"profile"),
    }


def _bmp() -> Seeds:
    small = digit((12, 10))
    bitmap = _encoded(small.convert("1"), "BMP")
    runs = bytes.fromhex("0403 0400 0000  0004 03020100 0000  0801 0000  0002 0200 0602 0000  0001")
    head = struct.pack("<IIIIiiHHIIiiII", 0, 0, 54 + 16, 40, 8, 4, 1, 8, 1, len(runs), 0, 0, 4, 0)
    return {
        "bilevel.bmp": bitmap,
        "colour.bmp": _encoded(small.convert("RGB"), "BMP"),
        "palette.bmp": _encoded(small.quantize(4), "BMP"),
        "colour-alpha.bmp": _encoded(small.convert("RGBA"), "BMP"),
        "run-lengths.bmp": b"BM" + head + bytes(4) + b"\x55" * 4 + b"\xaa" * 4 + b"\xff" * 4 + runs,
        "top-down.bmp": bitmap[:22] + struct.pack("<i", -10) + bitmap[26:],
    }


def _webp() -> Seeds:
    colour = digit().convert("RGB")
    alpha = colour.copy()
    alpha.putalpha(digit(paper=0, ink=255))
    return {
        "lossy.webp": _encoded(colour, "WEBP"),
        "lossless.webp": _encoded(colour, "WEBP", lossless=True),
        "alpha.webp": _encoded(alpha, "WEBP", exif=TURNED),
        "animated.webp": _encoded(colour, "WEBP", save_all=True, append_images=[alpha], duration=50, lossless=True),
    }


def _tiff() -> Seeds:
    grey, bilevel = digit(), digit().convert("1")
    packed = {"raw": None, "packbits": "packbits", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "jpeg": "jpeg"}
    packed |= {"zstd": "zstd", "lzma": "lzma"}
    faxes = {"group3": "group3", "group4": "group4", "ccitt": "tiff_ccitt"}
    modes = {
        "colour": "RGB",
        "palette": "P",
        "cmyk": "CMYK",
        "ycbcr": "YCbCr",
        "alpha": "LA",
        "integers": "I",
        "floats": "F",
    }
    seeds = {f"{name}.tiff": _encoded(grey, "TIFF", compression=how) for name, how in packed.items()}
    seeds |= {f"{name}.tiff": _encoded(bilevel, "TIFF", compression=how) for name, how in faxes.items()}
    seeds |= {f"{name}.tiff": _encoded(grey.convert(m), "TIFF", compression="tiff_lzw") for name, m in modes.items()}
    tile = bytes([255] * 100 + [0] * 56 + [255] * 100)
    return seeds | {
        "big-endian-16.tiff": _encoded(_wide("I;16B"), "TIFF"),
        "big-endian.tiff": grey_tiff((16, 16), tile, {STRIP_OFFSETS: DATA_START, STRIP_BYTES: 256}, ">"),
        "16.tiff": _encoded(_wide(), "TIFF", compression="tiff_lzw"),
        "turned.tiff": _encoded(grey, "TIFF", tiffinfo={274: 6, 270: "seven", 282: 90.0}, compression="tiff_lzw"),
        "pages.tiff": _encoded(grey, "TIFF", save_all=True, append_images=[digit(ink=90)], compression="tiff_lzw"),
        "tiles.tiff": grey_tiff((12, 14), *_tiles(16, 1, tile)),
        "packed-tiles.tiff": grey_tiff((12, 14), *_tiles(16, DEFLATE, zlib.compress(tile))),
        "strips.tiff": grey_tiff(
            (16, 16), tile, {ROWS_PER_STRIP: 8, STRIP_OFFSETS: [8, 8 + 128], STRIP_BYTES: [128, 128]}
        ),
    }


def _tiles(side: int, compression: int, data: bytes) -> tuple[bytes, dict[int, int | list[int]]]:
    """One square tile, as grey_tiff takes it."""
    tags = {COMPRESSION: compression, TILE_WIDTH: side, TILE_LENGTH: side, TILE_OFFSETS: DATA_START}
    return data, {**tags, TILE_BYTES: len(data)}


def _hidden_tile(side: int) -> bytes:
    """A TIFF whose tile's size has a type of eight bytes, which libtiff reads and Pillow's own parser passes over."""
    data = b"\x80" * 10
    tags = _tiles(DATA_START + len(data), LZW, data)[1]  # a value so long is an offset
    tiff = grey_tiff((10, 10), data + struct.pack("<Q", side), tags)
    for tag in (TILE_WIDTH, TILE_LENGTH):
        tiff = tiff.replace(struct.pack("<HH", tag, LONG), struct.pack("<HH", tag, SLONG8))
    return tiff


def _wide(mode: str = "I;16") -> Image.Image:
    """The digit in 16 bits, of which the lower eight vary."""
    levels = np.asarray(digit()).astype(np.uint16) * 200 + 7
    return Image.frombytes(mode, digit().size, levels.astype(">u2" if mode == "I;16B" else "<u2").tobytes())


def _interlaced_rows() -> bytes:
    """The seven passes of an 8x8 picture, a filter's byte before each row."""
    passes = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))
    return b"".join((b"\0" + bytes([255] * (width // 2) + [0] * (width - width // 2))) * rows for width, rows in passes)


def _png_file(width: int, height: int, depth: int, interlace: int, data: bytes, kind: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """The PNG with one more chunk, behind its header."""
    return png[:33] + _chunk(name, content) + png[33:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _with(content: bytes, position: int, other: bytes) -> bytes:
    return content[:position] + other + content[position + len(other) :]


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _mode_for(kind: str) -> str:
    return {"XBM": "1", "DDS": "RGB", "AVIF": "RGB"}.get(kind, "L")
