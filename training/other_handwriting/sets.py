"""Framed handwriting of others than MNIST's writers: for training, and held out. Made once, kept in the cache.

Each digit and character of training/data/other_handwriting is drawn with pens of its own, on any paper, and framed by
the service's preprocessing; so are allographs, for training alone. Raise `RECIPE` with any change here, in what draws,
or in the service's preprocessing.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.arrays import NOT_A_DIGIT, Floats
from training.data.other_handwriting import omniglot
from training.data.other_handwriting.map_digits import FULL_INK, MapDigits, load_map_digits
from training.data.other_handwriting.omniglot import Characters, load_omniglot
from training.data.other_handwriting.pen_digits import PenDigits, load_pen_digits
from training.data.preprocessing import Preprocess, preprocess_pictures
from training.other_handwriting import allographs
from training.other_handwriting.pen import SIDE, Pen, curved
from training.synthetic.drawing import cropped
from training.synthetic.placing import exposed, sheet
from training.synthetic.recipe import generator_for
from training.synthetic.synthetic_set import SyntheticSet, read_synthetic, write_synthetic

RECIPE = 5
DRAWINGS = 2  # of each digit and character for training; of what is held out there is one
HELD_OUT = ("pen digits, held out", "maps, held out", "handwritten letters, held-out alphabets")
FOR_CHOICES = "handwritten letters, validation alphabets"
_MAP_WIDTH, _MAP_HEIGHT = 30, 48  # of the pictures that map digits were counted in
_LARGEST_MAP = 1.7  # times that size: it still fits the sheet
_DRAWN_THICKNESS = 6  # of Omniglot's strokes, in pixels of a drawing that is enlarged to twice its size

Part = Literal["train", "evaluation"]
Picture = npt.NDArray[np.uint8]  # (96, 96) grey levels, any polarity
Labelled = Iterator[tuple[Picture, int]]


def load_other_handwriting(
    cache_folder: Path,
    part: Part,
    say: Callable[[str], None] = lambda _: None,
    preprocess: Preprocess = preprocess_pictures,
) -> SyntheticSet:
    """The framed pictures of a part, by kind; the same on every call.

    Args:
        cache_folder: holds them, in `other-handwriting/`, under a name of recipe and part.
        part: train; evaluation has the kinds of HELD_OUT and FOR_CHOICES.
        say: gets one line when they are made.
        preprocess: brings pictures into MNIST's frame; the service's preprocessing.

    Raises:
        DataError: a committed file is damaged, the preprocessing cannot run, or the cached file is damaged or cannot be
            written.
    """
    stored = cache_folder / "other-handwriting" / f"recipe-{RECIPE}-{part}.npz"
    if stored.exists():
        return read_synthetic(stored)
    made = _framed(_pictures(part), preprocess)
    write_synthetic(stored, made)
    say(f"stored {len(made):,} pictures of other handwriting in {stored}")
    return made


def _framed(pictures: Mapping[str, list[tuple[Picture, int]]], preprocess: Preprocess) -> SyntheticSet:
    """All pictures framed; what the preprocessing finds blank is left out."""
    framed = preprocess({kind: np.stack([picture for picture, _ in drawn]) for kind, drawn in pictures.items()})
    pixels = np.concatenate([framed[kind].pixels for kind in pictures])
    labels = np.array([label for drawn in pictures.values() for _, label in drawn], np.int64)
    kinds = np.repeat(list(pictures), [len(drawn) for drawn in pictures.values()])
    seen = pixels.any(axis=1)
    return SyntheticSet(pixels[seen], labels[seen], kinds[seen])


def _pictures(part: Part) -> Mapping[str, list[tuple[Picture, int]]]:
    (pen_train, pen_held_out), (map_train, map_held_out) = load_pen_digits().split(), load_map_digits().split()
    characters = load_omniglot()
    if part == "train":
        drawn = {
            "pen digits": pen_pictures(pen_train, DRAWINGS, generator_for("pen digits", "train")),
            "maps": map_pictures(map_train, DRAWINGS, generator_for("maps", "train")),
            "handwritten letters": character_pictures(
                characters.of(omniglot.TRAINING_ALPHABETS), DRAWINGS, generator_for("handwritten letters", "train")
            ),
            "allographs": allographs.allograph_pictures(allographs.DRAWINGS, generator_for("allographs", "train")),
        }
    else:
        pens, maps, letters = HELD_OUT
        drawn = {
            pens: pen_pictures(pen_held_out, 1, generator_for(pens, "test")),
            maps: map_pictures(map_held_out, 1, generator_for(maps, "test")),
            letters: character_pictures(characters.of(omniglot.HELD_OUT_ALPHABETS), 1, generator_for(letters, "test")),
            FOR_CHOICES: character_pictures(
                characters.of(omniglot.VALIDATION_ALPHABETS), 1, generator_for(FOR_CHOICES, "validation")
            ),
        }
    return {kind: list(pictures) for kind, pictures in drawn.items()}


def pen_pictures(digits: PenDigits, drawings: int, generator: np.random.Generator) -> Labelled:
    """Each digit drawn so often, half of them with curves from point to point, half with straight lines."""
    points = digits.points.astype(np.float32) / np.float32(100)
    points[..., 1] = 1 - points[..., 1]
    for _ in range(drawings):
        for way, label in zip(points, digits.labels, strict=True):
            size = np.float32(generator.uniform(0.5, 0.75))
            corner = generator.uniform(0.1, 0.9 - size, 2).astype(np.float32)
            placed = (curved(way) if generator.random() < 0.5 else way) * size + corner
            yield exposed(Pen.random(generator).stroke(placed, generator), generator), int(label)


def map_pictures(digits: MapDigits, drawings: int, generator: np.random.Generator) -> Labelled:
    """Each digit so often, in the size that it was counted in, or up to 1.7 times as large; half in black and white."""
    for _ in range(drawings):
        for windows, label in zip(digits.windows, digits.labels, strict=True):
            ink = map_ink(windows, generator.uniform(1, _LARGEST_MAP))
            if generator.random() < 0.5:
                ink = (ink > generator.uniform(0.35, 0.6)).astype(np.float32)
            yield sheet(cropped(ink), SIDE, generator), int(label)


def map_ink(windows: npt.NDArray[np.uint8], scale: float = 1.0) -> Floats:
    """Counts (16, 15) stretched to `scale` times 48x30 pixels: ink in 0..1."""
    counted = Image.fromarray(np.rint(windows * (255 / FULL_INK)).astype(np.uint8))
    size = (round(_MAP_WIDTH * scale), round(_MAP_HEIGHT * scale))
    return np.asarray(counted.resize(size, Image.Resampling.BICUBIC), np.float32) / np.float32(255)


def character_pictures(characters: Characters, drawings: int, generator: np.random.Generator) -> Labelled:
    """Each character drawn so often."""
    for _ in range(drawings):
        for ink in characters.ink:
            yield sheet(character_ink(ink, generator), SIDE, generator), NOT_A_DIGIT


def character_ink(ink: npt.NDArray[np.bool_], generator: np.random.Generator) -> Floats:
    """One of Omniglot's drawings, (h, w), twice as large and with another pen: its tight ink."""
    small = Image.fromarray(np.pad(ink, 4).astype(np.uint8) * 255)
    large = small.resize((small.width * 2, small.height * 2), Image.Resampling.BICUBIC)
    return cropped(Pen.random(generator).traced(np.asarray(large, np.float32) / np.float32(255), _DRAWN_THICKNESS))
