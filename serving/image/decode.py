"""Decodes the bytes of a picture file to grey levels. Checks all limits first, and reads the listed formats only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from serving.errors import InvalidRequestError
from serving.image.file_cost import MAX_READS, BoundedFile, check_before_load, check_before_open, occurs_more_often
from serving.image.header import is_reduced_jpeg
from serving.image.picture import ImageLimits

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")

LARGEST = 25_000_000  # pixels in grey; a larger picture is reduced at once
ONE_BYTE = {"L": 4, "1": 2, "P": 2}  # how many times more pixels of these modes fit in the memory of one in colour
MOST_REDUCED = 4  # times the most pixels may a JPEG have that is reduced while it is decoded
DECODED_SIDE = 200  # pixels a side, at least, of a reduced JPEG: one digit needs no more

# Scans of a progressive JPEG: encoders write about ten, and each costs a pass over the whole picture.
MAX_JPEG_SCANS = 40
MAX_EXIF_BYTES = 2**16  # as in a JPEG's segment; in the other formats Exif may hold millions of values
# Pixels of a picture with alpha, or with wide levels, that are converted at once, in whole rows. The whole would take
# much memory, and Pillow would keep the interpreter's lock for a tenth of a second.
BAND = 2**18
_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # OpenCV's code by orientation, after that
Grey = npt.NDArray[np.uint8]
_JPEG_START, _JPEG_SCAN = b"\xff\xd8", b"\xff\xda"

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its lines would stand between those of the log
# Off: decode() checks its own limit before it decodes. Pillow's has another value and at first only warns.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Upright:
    """Grey levels of a picture, (h, w) uint8, 0 = black, and its size as sent, turned upright, in pixels."""

    grey: npt.NDArray[np.uint8]
    width: int
    height: int


def decode(encoded: bytes, limits: ImageLimits, side: int = DECODED_SIDE) -> npt.NDArray[np.uint8]:
    """Returns the grey levels of decode_upright()."""
    return decode_upright(encoded, limits, side).grey


def decode_upright(encoded: bytes, limits: ImageLimits, side: int) -> Upright:
    """Decodes the first picture in the file to grey levels, (h, w) uint8, 0 = black.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves at least `side` pixels a side: it is faster, and takes less
    memory.

    Applies the EXIF orientation; puts transparent pictures on white, or on black where white would hide everything.
    Raises InvalidRequestError for anything but a complete picture of a listed format within the limits.
    """
    if not encoded:
        raise InvalidRequestError("the encoded image is empty")
    if len(encoded) > limits.max_bytes:
        raise InvalidRequestError(f"the image has {len(encoded):,} bytes, at most {limits.max_bytes:,} are accepted")
    check_before_open(encoded, limits)
    file = BoundedFile(encoded)
    try:
        picture = Image.open(file, formats=FORMATS)  # reads the header alone; pixels are decoded by load()
    except InvalidRequestError:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds on hostile bytes
        raise InvalidRequestError(
            f"not an image this service reads ({', '.join(FORMATS)});"
            " raw pixels are 784 bytes, over gRPC in the field `pixels`"
        ) from error
    width, height = picture.size
    _check_pixels(picture, encoded, limits.max_pixels, side)
    file.reads_left = MAX_READS  # anew: opening has used some
    check_before_load(picture)
    # By its first bytes: Pillow calls a JPEG of several pictures, as phones write them, MPO.
    if encoded.startswith(_JPEG_START) and occurs_more_often(encoded, _JPEG_SCAN, MAX_JPEG_SCANS):
        raise InvalidRequestError(f"the JPEG image has more than {MAX_JPEG_SCANS} scans")
    try:
        grey, is_turned = _grey(picture, encoded, side)
    except InvalidRequestError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        raise InvalidRequestError(
            f"the {picture.format} image is truncated or damaged, or of a kind this service does not read"
        ) from error
    return Upright(grey, *((height, width) if is_turned else (width, height)))


def _check_pixels(picture: Image.Image, encoded: bytes, max_pixels: int, side: int) -> None:
    """Checks what load() will allocate: a few hundred bytes can declare a picture of gigabytes.

    `max_pixels` are in colour, four bytes each. Grey levels take one; palettes one, and one more for grey. Of a JPEG
    that is decoded at 1/2, 1/4 or 1/8, the pixels after that count; one of several scans is held as a whole.
    """
    width, height = picture.size
    pixels = width * height
    if pixels <= max_pixels:  # of any kind; so the header of a usual JPEG is not walked once more
        return
    most = float(pixels)
    if picture.mode in ONE_BYTE and "transparency" not in picture.info:  # that is flattened in colour
        most = pixels / ONE_BYTE[picture.mode]
    if picture.format in ("JPEG", "MPO") and is_reduced_jpeg(encoded):
        shrink = next(factor for factor in (8, 4, 2, 1) if factor == 1 or min(width, height) // side >= factor)
        most = max(pixels / shrink**2, pixels / MOST_REDUCED)
    if most > max_pixels:
        raise InvalidRequestError(
            f"the image has {width} x {height} = {pixels:,} pixels, at most {max_pixels:,} are accepted; up to"
            f" {4 * max_pixels:,} in grey, and up to {MOST_REDUCED * max_pixels:,} in a JPEG that is not progressive,"
            " of one scan"
        )


def _grey(picture: Image.Image, encoded: bytes, side: int) -> tuple[Grey, bool]:
    """Returns the grey levels, upright, and whether width and height were exchanged for that."""
    picture.draft("L", (side, side))  # for libjpeg; other formats ignore it
    if picture.format == "WEBP":
        grey = _from_webp(encoded, picture.size)
    else:
        picture.load()
        if picture.mode.startswith(("I", "F")):  # convert("L") would not scale these
            grey = _from_wide(picture)
        elif picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
            grey = _flatten_alpha(picture)
        else:
            grey = _converted(picture)
    if grey.size > LARGEST:
        height, width = (length // 2 for length in grey.shape)
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    orientation = _orientation(picture)  # of the grey levels: they are the smallest
    is_turned = orientation in _TRANSPOSED
    if is_turned:
        grey = cv2.transpose(grey)
    flip = _FLIPS.get(orientation)
    return grey if flip is None else cv2.flip(grey, flip), is_turned


def _orientation(picture: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1, upright, where EXIF is too large or cannot be read."""
    if len(picture.info.get("exif", b"")) > MAX_EXIF_BYTES:
        return 1
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's parsers raise many kinds on hostile bytes
        return 1


def _converted(picture: Image.Image) -> Grey:
    """Returns the grey levels of an opaque picture. Of a large one in bands: Pillow makes three copies."""
    width, height = picture.size
    if width * height <= BAND:
        return np.asarray(picture if picture.mode == "L" else picture.convert("L"))
    grey = np.empty((height, width), np.uint8)
    for band in _bands(height, width):
        grey[band] = np.asarray(picture.crop((0, band.start, width, band.stop)).convert("L"))
    return grey


def _flatten_alpha(picture: Image.Image) -> Grey:
    """Returns the picture on paper, in grey."""
    width, height = picture.size

    def rows(band: slice) -> npt.NDArray[np.uint8]:
        return np.asarray(picture.crop((0, band.start, width, band.stop)).convert("RGBA"))

    return _on_paper(rows, cv2.COLOR_RGBA2GRAY, height, width)


def _from_webp(encoded: bytes, size: tuple[int, int]) -> Grey:
    """Decodes a WebP file by OpenCV: Pillow holds five copies of the picture, and the interpreter's lock meanwhile.

    `size`: width and height as Pillow has checked them.
    """
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[1::-1] != size:
        raise ValueError("not decoded")
    if pixels.shape[2] == 3:
        grey: Grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        return grey
    return _on_paper(lambda band: pixels[band], cv2.COLOR_BGRA2GRAY, *pixels.shape[:2])


def _on_paper(rows: Callable[[slice], npt.NDArray[np.uint8]], code: int, height: int, width: int) -> Grey:
    """Returns a picture on white paper, in grey; on black where it vanishes on white, as white ink does.

    `rows`: returns some rows, (n, width, 4) uint8, with alpha; `code`: OpenCV's, for their colours.
    """
    flat = np.empty((height, width), np.uint8)
    for is_white in (True, False):
        for band in _bands(height, width):
            colours = rows(band)
            grey, alpha = cv2.cvtColor(colours, code), cv2.extractChannel(colours, 3)
            if is_white:
                flat[band] = cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(grey), alpha, scale=1 / 255))
            else:
                flat[band] = cv2.multiply(grey, alpha, scale=1 / 255)
        lowest, highest, _, _ = cv2.minMaxLoc(flat)
        if lowest != highest:
            break
    return flat


def _bands(height: int, width: int) -> Iterator[slice]:
    rows = max(1, BAND // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _from_wide(picture: Image.Image) -> Grey:
    """Stretches 16-bit, 32-bit and floating-point grey levels to 8 bits. Raises ValueError for infinity and NaN.

    From the lowest to the highest level, since files do not say which level is white.
    """
    levels = np.asarray(picture)
    with np.errstate(invalid="ignore"):  # a signalling NaN warns; it is refused below, like any other
        is_finite = bool(np.isfinite(levels).all())
    if not is_finite:
        raise ValueError("grey levels that are not finite")
    lowest, highest = float(levels.min()), float(levels.max())
    scale = 255 / (highest - lowest) if highest > lowest else 0.0
    grey = np.empty(levels.shape, np.uint8)
    for band in _bands(*levels.shape):  # in double precision the whole would take much memory
        grey[band] = ((levels[band].astype(np.float64) - lowest) * scale).astype(np.uint8)
    return grey
