"""Panels with captions, in rows: what every picture of the gallery is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Grey = npt.NDArray[np.uint8]  # (h, w), 0 = black
Box = tuple[int, int, int, int]  # left, top, width, height

MARGIN, CAPTION = 10, 18  # pixels
FONT = ImageFont.load_default(13)  # Pillow's own: the same on every machine
TEXT, RED, GREEN, PALE = (40, 40, 40), (205, 40, 40), (20, 130, 60), (150, 150, 150)
COLOURS = np.array([(222, 120, 30), (40, 110, 200), (30, 150, 90), (170, 70, 160)], np.uint8)  # of neighbouring atoms


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture in its final size with a caption."""

    caption: str
    picture: Image.Image
    colour: tuple[int, int, int] = TEXT

    @property
    def width(self) -> int:
        """Pixels that picture and caption take."""
        return max(self.picture.width, round(FONT.getlength(self.caption)))


def panel(caption: str, levels: Grey, scale: float = 1, boxes: Sequence[Box] = ()) -> Panel:
    """A panel of grey levels, each pixel `scale` pixels wide, with `boxes` around parts of it."""
    picture = enlarged(Image.fromarray(levels).convert("RGB"), scale)
    draw = ImageDraw.Draw(picture)
    for left, top, width, height in boxes:
        corners = (left * scale - 1, top * scale - 1, (left + width) * scale, (top + height) * scale)
        draw.rectangle(corners, outline=RED, width=2)
    return Panel(caption, picture)


def enlarged(picture: Image.Image, scale: float) -> Image.Image:
    """Enlarges without smoothing, so that pixels are seen."""
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def coloured(ink: Grey, numbers: npt.NDArray[np.integer]) -> Image.Image:
    """Ink on white, each number of `numbers`, (h, w), in another colour than its neighbour; 0: grey."""
    colours = np.where(numbers[..., None] > 0, COLOURS[numbers % len(COLOURS)], np.uint8(170))
    share = ink[..., None] / 255
    return Image.fromarray(np.rint(255 * (1 - share) + colours * share).astype(np.uint8))


def stacked(*rows: Sequence[Panel]) -> Image.Image:
    """Panels in rows, from the top and the left."""
    widths = [MARGIN + sum(each.width + MARGIN for each in row) for row in rows]
    heights = [max(each.picture.height for each in row) + CAPTION + MARGIN for row in rows]
    page = Image.new("RGB", (max(widths), sum(heights) + MARGIN), "white")
    draw = ImageDraw.Draw(page)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for each in row:
            draw.text((left, top), each.caption, each.colour, FONT)
            page.paste(each.picture, (left, top + CAPTION))
            outline = (left - 1, top + CAPTION - 1, left + each.picture.width, top + CAPTION + each.picture.height)
            draw.rectangle(outline, outline=PALE)
            left += each.width + MARGIN
        top += height
    return page
