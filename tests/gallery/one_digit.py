"""Pictures of one digit on its way to 28x28 pixels."""

import cv2
import numpy as np
from PIL import Image

from serving.image.framing import frame
from serving.image.ink.clutter import without_clutter
from serving.image.ink.paper import Ink, ink_on_paper, opened_paper
from serving.image.ink.polarity import is_paper_light
from serving.image.ink.sheet import find_sheet
from serving.image.ink.writing import CROP_WINDOWS, WINDOWS, Writing, find_writing
from serving.image.mnist_box import centred, tight_square, to_box
from serving.image.reduction import reduced
from serving.image.stroke_width import width_in_box, with_mnist_strokes
from tests.gallery.panels import Grey, panel, stacked
from tests.support.drawn_digits import DIGITS, LABELS, drawn, placed
from tests.support.people_pictures import inset
from tests.support.people_pictures import soft_crop as soft_crop_of
from tests.support.shipped_model import shipped_model

PHOTO_DIGIT, CANVAS_DIGIT, CROP_DIGIT = 5, 3, 6
PHOTO_SEED, CANVAS_SEED, CROP_SEED = 3, 6, 3


def photo_to_ink() -> Image.Image:
    """A photo, its paper, its ink."""
    sent = _photo()
    grey = reduced(sent)
    window, ink, clean = _seen(grey, _writing(grey), WINDOWS)
    # Ink is lighter than paper inside of the intake; here the paper is shown as it looks.
    paper = 255 - opened_paper(255 - grey, window)
    return stacked(
        [
            panel(f"as sent, {sent.shape[1]}x{sent.shape[0]}", sent, 0.4),
            panel(f"reduced, {grey.shape[1]}x{grey.shape[0]}", grey),
            panel("paper, by opening", paper),
            panel("ink, light", ink),
            panel("without clutter", clean),
        ]
    )


def ink_to_mnist() -> Image.Image:
    """The photo's ink, its square, and what the network gets."""
    ink = _writing(reduced(_photo())).ink
    square = tight_square(ink)
    strokes = with_mnist_strokes(square, width_in_box(square))
    box = to_box(strokes)
    return stacked(
        [
            panel(f"tight square, {len(square)}x{len(square)}", square, 140 / len(square)),
            panel("20x20", np.rint(box).astype(np.uint8), 7),
            panel(f"28x28, by centre of mass; read: {answer(centred(box))}", centred(box), 5),
        ]
    )


def canvas_in_page() -> Image.Image:
    """A dark canvas in a white page."""
    sent = inset(_digit(CANVAS_DIGIT), np.random.default_rng(CANVAS_SEED))
    grey = reduced(sent)
    box = find_sheet(grey)
    if box is None:
        raise RuntimeError("the canvas is not found: choose another seed")
    left, top, width, height = box
    ink = _writing(grey).ink
    pixels = frame(sent).pixels
    return stacked(
        [
            panel("as sent, and the sheet that is found", grey, 1.5, [box]),
            panel("the sheet alone", grey[top : top + height, left : left + width], 1.5),
            panel("ink", ink, 1.5),
            panel(f"28x28, read: {answer(pixels)}", pixels.reshape(28, 28), 5),
        ]
    )


def soft_crop() -> Image.Image:
    """A small, soft picture that a digit with thick strokes fills, seen through both windows."""
    thick = cv2.dilate(_digit(CROP_DIGIT), np.ones((5, 5), np.uint8))
    sent = soft_crop_of(thick, np.random.default_rng(CROP_SEED))
    is_light = is_paper_light(sent)
    scale = 140 / max(sent.shape)
    seen = []
    for window in reversed(CROP_WINDOWS):
        inked = ink_on_paper(sent, is_light, window)
        ink = np.zeros_like(sent) if inked is None else inked.ink
        seen.append(panel(f"ink, window {window:g}", ink, scale))
    pixels = frame(sent).pixels
    return stacked(
        [
            panel(f"as sent, {sent.shape[1]}x{sent.shape[0]}", sent, scale),
            *seen,
            panel("tight square", tight_square(_writing(sent).ink), scale),
            panel(f"28x28, read: {answer(pixels)}", pixels.reshape(28, 28), 5),
        ]
    )


def answer(pixels: Grey) -> str:
    """What the shipped model says to framed pixels: digit and probability, or that it refuses."""
    predictions = shipped_model().run(pixels.reshape(1, 784))
    if predictions.refusals[0]:
        return "refused"
    return f"{predictions.digits[0]}, p = {predictions.probabilities[0].max():.2f}"


def _photo() -> Grey:
    """Pen on paper, across which the edge of a shadow runs; a table shows on the right."""
    rng = np.random.default_rng(PHOTO_SEED)
    height, width = 400, 300
    ink = placed(drawn(_digit(PHOTO_DIGIT), 150, rng), height, width, rng, margin=0.3)
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    shadow = 0.5 + 0.5 * np.tanh((0.9 * down + 0.5 * right - 0.75) / 0.02)
    seen = 215 * (1 - 0.42 * shadow) * (1 - 0.8 * ink)
    seen = np.where(right > 0.9 - 0.06 * down, 55, seen)
    noisy = cv2.GaussianBlur(seen, (0, 0), 1) + rng.normal(0, 2, seen.shape)
    photo: Grey = np.clip(noisy, 0, 255).astype(np.uint8)
    return photo


def _digit(label: int) -> Grey:
    digit: Grey = DIGITS[int(np.flatnonzero(label == LABELS)[0])]
    return digit


def _writing(grey: Grey) -> Writing:
    writing = find_writing(grey)
    if writing is None:
        raise RuntimeError("nothing is written there: choose another seed")
    return writing


def _seen(grey: Grey, writing: Writing, windows: tuple[float, ...]) -> tuple[float, Ink, Ink]:
    """Returns the window through which `writing` was found, the ink seen through it, and that without clutter."""
    for window in windows:
        inked = ink_on_paper(grey, is_paper_light(grey), window)
        if inked is not None and np.array_equal(without_clutter(inked.ink)[0], writing.ink):
            return window, inked.ink, writing.ink
    raise RuntimeError("the writing was found on a sheet or with the other polarity: choose another seed")
