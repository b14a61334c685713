"""From the bytes of a picture file to grey levels. Refuses by size before decoding; decodes listed formats only."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from serving.errors import InvalidRequestError
from serving.image.file_cost import MAX_READS, BoundedFile, check_before_load, check_before_open
from serving.image.picture import ImageLimits
from serving.image.reduction import WORKING_SIDE, reduced

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")

# Of a progressive JPEG: encoders write about ten, and each costs a pass over the whole picture.
MAX_JPEG_SCANS = 100
MAX_EXIF_BYTES = 2**16  # a JPEG's segment holds no more; elsewhere millions of values could stand in it
_JPEG_START, _JPEG_SCAN = b"\xff\xd8", b"\xff\xda"

# Our own limit is checked before anything is decoded; Pillow's would only warn, at another number.
Image.MAX_IMAGE_PIXELS = None


def decode(encoded: bytes, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    """Grey levels (h, w) uint8, both at most WORKING_SIDE, 0 = black, of the first picture in the file.

    EXIF orientation is applied, transparency is laid over white (or over black, where white would hide everything).
    Raises InvalidRequestError for anything that is not a whole picture of a listed format within the limits.
    """
    if not encoded:
        raise InvalidRequestError("the encoded image is empty")
    if len(encoded) > limits.max_bytes:
        raise InvalidRequestError(f"the image has {len(encoded):,} bytes, at most {limits.max_bytes:,} are accepted")
    check_before_open(encoded, limits)
    file = BoundedFile(encoded)
    try:
        picture = Image.open(file, formats=FORMATS)
    except InvalidRequestError:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds on hostile bytes
        raise InvalidRequestError(
            f"not an image this service reads ({', '.join(FORMATS)});"
            " raw pixels are 784 bytes, over gRPC in the field `pixels`"
        ) from error
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise InvalidRequestError(
            f"the image has {width} x {height} = {width * height:,} pixels, at most {limits.max_pixels:,} are accepted"
        )
    file.reads_left = MAX_READS
    check_before_load(picture)
    # Told by its first bytes: a JPEG of several pictures, as phones write them, has another format name in Pillow.
    if encoded.startswith(_JPEG_START) and encoded.count(_JPEG_SCAN) > MAX_JPEG_SCANS:
        raise InvalidRequestError(f"the JPEG image has more than {MAX_JPEG_SCANS} scans")
    try:
        return _grey(picture)
    except InvalidRequestError:
        raise
    except Exception as error:  # as above
        raise InvalidRequestError(
            f"the {picture.format} image is truncated or damaged, or of a kind this service does not read"
        ) from error


def _grey(picture: Image.Image) -> npt.NDArray[np.uint8]:
    picture.draft("L", (WORKING_SIDE, WORKING_SIDE))  # lets a JPEG decode at a fraction of its size
    picture.load()
    oriented = _upright(picture)
    if oriented.mode.startswith(("I", "F")):
        grey = _from_wide(oriented)
    elif oriented.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in oriented.info:
        grey = _flatten_alpha(oriented)
    else:
        grey = oriented.convert("L")
    return np.asarray(reduced(grey))


def _upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF tag says; as it is where the tag cannot be read, or costs more than a camera's."""
    if len(picture.info.get("exif", b"")) > MAX_EXIF_BYTES:
        return picture
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # Pillow's parsers raise many kinds on hostile bytes
        return picture


def _flatten_alpha(picture: Image.Image) -> Image.Image:
    rgba = picture.convert("RGBA")
    for paper in ("white", "black"):
        flat = Image.alpha_composite(Image.new("RGBA", rgba.size, paper), rgba).convert("L")
        lowest, highest = flat.getextrema()
        if lowest != highest:  # white ink on transparency vanishes over white
            break
    return flat


def _from_wide(picture: Image.Image) -> Image.Image:
    """16- and 32-bit and floating grey levels, stretched to 8 bits: their absolute scale is not known."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is refused below, like any other
        levels = np.asarray(picture, dtype=np.float64)
    if not np.isfinite(levels).all():
        raise ValueError("grey levels that are not finite")
    span = np.ptp(levels)
    return Image.fromarray(((levels - levels.min()) * (255 / span if span else 0)).astype(np.uint8))
