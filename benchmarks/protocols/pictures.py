"""Picture files that requests carry: digits of MNIST drawn large, dark ink on light paper, as PNG or as JPEG."""

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from benchmarks.protocols.protocol import Pixels, Protocol

SIDE = 28  # pixels of an image
EDGE = 2.0  # pixels over which a drawn stroke fades into the paper
NOISE = 9  # grey levels, at most, by which a pixel of a photograph differs from the drawing
JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A format of Pillow's and a size in pixels. A JPEG is a photograph: in colour, with noise."""

    format: str
    width: int
    height: int

    @property
    def title(self) -> str:
        """The picture's name in tables."""
        return f"{self.format} of {self.width}x{self.height}"

    @property
    def content_type(self) -> str:
        """The media type of the file."""
        return f"image/{self.format.lower()}"

    def encode(self, pixels: Pixels) -> bytes:
        """The file that shows pixels (1, 784) uint8. The same pixels make the same file."""
        (row,) = pixels
        picture, file = drawn(row, self.width, self.height), io.BytesIO()
        if self.format == "JPEG":
            picture = _photographed(picture)
        picture.save(file, self.format, quality=JPEG_QUALITY)
        return file.getvalue()


# By name on the command line: what a page or a scanner sends, and a photograph that was made smaller.
PICTURES = {"png": PictureFile("PNG", 200, 200), "jpeg": PictureFile("JPEG", 800, 800)}


def drawn(row: Pixels, width: int, height: int) -> Image.Image:
    """Draws an image (784,) uint8 in the middle of white paper, mode L. Strokes keep grey edges, as a pen's have."""
    side = min(width, height)
    ink = Image.fromarray(row.reshape(SIDE, SIDE)).resize((side, side), Image.Resampling.BICUBIC)
    steepness = max(1.0, side / SIDE / EDGE)  # enlarging alone would leave edges as wide as a pixel of the image
    levels = np.clip(127.5 - (np.arange(256) - 127.5) * steepness, 0, 255)
    picture = Image.new("L", (width, height), 255)
    picture.paste(ink.point(levels.round().astype(int).tolist()), ((width - side) // 2, (height - side) // 2))
    return picture


def _photographed(picture: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).integers(-NOISE, NOISE + 1, (picture.height, picture.width), np.int8)
    levels = np.clip(np.asarray(picture, np.int16) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def carrying(protocol: Protocol, picture: PictureFile) -> Protocol:
    """The protocol whose requests carry `picture`."""
    return replace(protocol, request=picture.encode, content_type=picture.content_type)
