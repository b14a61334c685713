"""Kinds and numbers of the synthesised pictures of a part. Raise `RECIPE` with any change here."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from training.data.arrays import PIXELS, SIDE, Floats, LabelledDigits, Pixels
from training.data.preprocessing import Preprocess, Segment
from training.synthetic import digit_debris, text, touching
from training.synthetic.font_families import Part
from training.synthetic.fonts import Face
from training.synthetic.placing import exposed, raw, sheet
from training.synthetic.scribbles import scribble
from training.synthetic.shapes import shape
from training.synthetic.silhouettes import silhouette
from training.synthetic.textures import blank, noise, stripes, texture

RECIPE = (
    6  # part of the cached file's name: raised with any change here, in what draws, or in the server's preprocessing
)
PRINTED_DIGIT = "printed digit"
CUT_OUT, SEVERAL_TOUCHING = "digit cut out", "several touching"
_SHEET_SIDE = 96
_PART_SEEDS: Mapping[Part, int] = {"train": 1, "validation": 2, "test": 3}
Draw = Callable[[np.random.Generator], Floats]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of non-digit: what draws it, how many, and which share of them is preprocessed."""

    name: str
    draw: Draw
    train_count: int
    preprocessed_share: float = 0.5
    whole_field: bool = False  # `draw` gives the very 28x28 field, not ink to be placed

    def count(self, part: Part) -> int:
        """Pictures in this part: an eighth of training's for each of the others."""
        return self.train_count if part == "train" else self.train_count // 8


PRINTED_DIGITS: Mapping[Part, int] = {"train": 12_000, "validation": 2_000, "test": 2_000}
TOUCHING_PICTURES: Mapping[Part, int] = {"train": 4_000, "validation": 500, "test": 500}  # each gives several rows


def kinds(faces: Sequence[Face], digits: LabelledDigits) -> tuple[Kind, ...]:
    """Every kind of non-digit; text is drawn from `faces`, debris from `digits`."""
    return (
        Kind("letter", partial(text.letter, faces), 10_000),
        Kind("symbol", partial(text.symbol, faces), 2_400),
        Kind("word", partial(text.word, faces), 3_600),
        Kind("scribble", scribble, 3_600),
        Kind("shape", shape, 2_000),
        Kind("silhouette", silhouette, 2_400, preprocessed_share=0.3),
        Kind("texture", texture, 3_000, preprocessed_share=0.1, whole_field=True),
        Kind("noise", noise, 3_000, preprocessed_share=0.1, whole_field=True),
        Kind("stripes", stripes, 1_000, preprocessed_share=0.1, whole_field=True),
        Kind("blank", blank, 1_000, preprocessed_share=0.1, whole_field=True),
        Kind("collage", partial(digit_debris.collage, digits), 3_600),
        Kind("cut", partial(digit_debris.cut, digits), 2_400, preprocessed_share=0.25, whole_field=True),
        Kind("shuffled", partial(digit_debris.shuffled, digits), 2_000, preprocessed_share=0.3, whole_field=True),
    )


def draw_kind(kind: Kind, part: Part, preprocess: Preprocess) -> Pixels:
    """All pictures of one kind, (n, 784) uint8: first the raw ones, then the preprocessed ones."""
    generator = generator_for(kind.name, part)
    fields, sheets = [], []
    for _ in range(kind.count(part)):
        ink = kind.draw(generator)
        if generator.random() < kind.preprocessed_share:
            sheets.append(_picture(ink, kind, generator))
        else:
            fields.append(_field(ink) if kind.whole_field else raw(ink, generator))
    preprocessed = (
        preprocess({kind.name: np.stack(sheets)})[kind.name].pixels if sheets else np.empty((0, PIXELS), np.uint8)
    )
    return np.concatenate([np.stack(fields), preprocessed]) if fields else preprocessed


def draw_printed_digits(faces: Sequence[Face], part: Part, preprocess: Preprocess) -> LabelledDigits:
    """Digits from fonts, preprocessed; what that finds blank is left out."""
    generator = generator_for(PRINTED_DIGIT, part)
    stacks: dict[str, list[tuple[int, npt.NDArray[np.uint8]]]] = {}
    for _ in range(PRINTED_DIGITS[part]):
        label, picture = text.printed_digit(faces, generator)
        stacks.setdefault(str(len(picture)), []).append((label, picture))
    preprocessed = preprocess({side: np.stack([picture for _, picture in stack]) for side, stack in stacks.items()})
    pixels = np.concatenate([preprocessed[side].pixels for side in stacks])
    labels = np.array([label for stack in stacks.values() for label, _ in stack], np.int64)
    seen = pixels.any(axis=1)
    return LabelledDigits(pixels[seen], labels[seen])


def draw_touching(digits: LabelledDigits, part: Part, preprocess: Preprocess, segment: Segment) -> LabelledDigits:
    """Digits that the server cuts out of pictures of touching ones, and what it takes for one though it is several."""
    generator = generator_for(CUT_OUT, part)
    drawn = [touching.draw(digits, generator) for _ in range(TOUCHING_PICTURES[part])]
    return touching.cut_out(drawn, preprocess, segment)


def generator_for(name: str, part: Part) -> np.random.Generator:
    """A generator of this kind's own, so that a new kind leaves the pictures of the others as they are."""
    return np.random.default_rng([_PART_SEEDS[part], zlib.crc32(name.encode())])


def _picture(ink: Floats, kind: Kind, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    if kind.whole_field:
        return exposed(ink, generator)
    if max(ink.shape) <= SIDE:
        ink = digit_debris.enlarged(ink, int(generator.integers(30, 88)))
    return sheet(ink, _SHEET_SIDE, generator)


def _field(ink: Floats) -> Pixels:
    return np.rint(ink * 255).astype(np.uint8).reshape(PIXELS)
