"""How a peer turns a picture file into pixels: Pillow opens it, makes it grey and resizes it, as tutorials do."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 28


def pixels_of_picture(encoded: bytes) -> npt.NDArray[np.uint8]:
    """The whole picture at 28x28 as (1, 784) uint8, 0 = paper, 255 = ink; inverted where its border is light."""
    grey = np.asarray(Image.open(io.BytesIO(encoded)).convert("L").resize((SIDE, SIDE)))
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return (255 - grey if border.mean() > 127 else grey).reshape(1, SIDE * SIDE)
