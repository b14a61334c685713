"""Pictures of other populations, for evaluation only: non-digits to refuse, and digits by other hands than MNIST's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from training.data.arrays import NOT_A_DIGIT, PIXELS, LabelledDigits, Labels, Pixels
from training.data.fashion_mnist import load_fashion_mnist
from training.data.preprocessing import Preprocess, preprocess_pictures
from training.errors import DataError
from training.other_handwriting.sets import HELD_OUT, load_other_handwriting
from training.synthetic.fonts import Face, load_faces
from training.synthetic.placing import sheet
from training.synthetic.recipe import draw_printed_digits, generator_for
from training.synthetic.text import PRINTED_LETTERS, any_letter
from training.synthetic.textures import blank, noise, stripes, texture

LOOK_ALIKES = "OIlSZB"  # 0 1 1 5 2 8: reported apart
LETTERS = "".join(
    letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if letter not in LOOK_ALIKES
)
_PICTURES = 5_000  # of fields, and of letters
_LOOK_ALIKE_PICTURES = 1_000
_SHEET_SIDE = 96
_SKLEARN_FULL_INK = 16


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Pictures of one population: pixels (n, 784) uint8; labels (n,) int64, or None where nothing is a digit."""

    name: str
    pixels: Pixels
    labels: Labels | None

    @property
    def digits(self) -> LabelledDigits:
        """The set as digits; a RuntimeError for a set of non-digits."""
        if self.labels is None:
            raise RuntimeError(f"the set {self.name} has no labels: this is a bug")
        return LabelledDigits(self.pixels, self.labels)


def load_evaluation_sets(
    cache_folder: Path,
    say: Callable[[str], None] = lambda _: None,
    preprocess: Preprocess = preprocess_pictures,
    on_missing: Callable[[str, DataError], None] | None = None,
) -> tuple[EvaluationSet, ...]:
    """Every set, in the order of the report. What is drawn uses the test fonts and the test part's seeds.

    Args:
        cache_folder: where fetched data is kept.
        say: gets a line for each set that is made.
        preprocess: the service's preprocessing.
        on_missing: gets the name of a set that cannot be had, and the reason. Without it, that is an error.

    Raises:
        DataError: Fashion-MNIST, the fonts or the preprocessing cannot be had.
    """
    groups: dict[str, Callable[[], tuple[EvaluationSet, ...]]] = {
        "Fashion-MNIST": lambda: (EvaluationSet("fashion-mnist", load_fashion_mnist(cache_folder, say), None),),
        "blanks, noise and textures": lambda: (EvaluationSet("blanks, noise and textures", fields(), None),),
        "letters and printed digits": lambda: _from_fonts(load_faces(cache_folder, "test", say), preprocess),
        "scikit-learn's digits": lambda: (sklearn_digits(preprocess),),
        "other handwriting": lambda: other_handwriting(cache_folder, HELD_OUT, say, preprocess),
    }
    loaded: list[EvaluationSet] = []
    for name, load in groups.items():
        say(f"{name} ...")
        try:
            loaded += load()
        except DataError as error:
            if on_missing is None:
                raise
            on_missing(name, error)
    return tuple(loaded)


def _from_fonts(faces: Sequence[Face], preprocess: Preprocess) -> tuple[EvaluationSet, ...]:
    printed = draw_printed_digits(faces, "test", preprocess)
    return (
        EvaluationSet("letters", letters(faces, LETTERS, _PICTURES, preprocess), None),
        EvaluationSet("look-alike letters", letters(faces, LOOK_ALIKES, _LOOK_ALIKE_PICTURES, preprocess), None),
        EvaluationSet("unambiguous letters", letters(faces, PRINTED_LETTERS, _PICTURES, preprocess), None),
        EvaluationSet("printed digits", printed.pixels, printed.labels),
    )


def other_handwriting(
    cache_folder: Path,
    kinds: Sequence[str],
    say: Callable[[str], None] = lambda _: None,
    preprocess: Preprocess = preprocess_pictures,
) -> tuple[EvaluationSet, ...]:
    """Digits and letters by others than MNIST's writers, which train nothing; `kinds` of HELD_OUT and FOR_CHOICES."""
    made = load_other_handwriting(cache_folder, "evaluation", say, preprocess)
    sets = []
    for kind in kinds:
        pixels, labels = made.pixels[made.kinds == kind], made.labels[made.kinds == kind]
        sets.append(EvaluationSet(kind, pixels, None if (labels == NOT_A_DIGIT).all() else labels))
    return tuple(sets)


def fields() -> Pixels:
    """Blanks, noise, stripes and textures as raw fields, the same number of each: (5000, 784) uint8."""
    generator = generator_for("measured fields", "test")
    draws = (blank, noise, stripes, texture)
    drawn = [draws[number % len(draws)](generator) for number in range(_PICTURES)]
    return np.rint(np.stack(drawn) * 255).astype(np.uint8).reshape(-1, PIXELS)


def letters(faces: Sequence[Face], among: str, count: int, preprocess: Preprocess = preprocess_pictures) -> Pixels:
    """`count` of these letters preprocessed, (count, 784) uint8: any font, upright, on any paper."""
    generator = generator_for(f"measured letters {among}", "test")
    sheets = [sheet(any_letter(faces, among, generator), _SHEET_SIDE, generator) for _ in range(count)]
    return preprocess({"letters": np.stack(sheets)})["letters"].pixels


def sklearn_digits(preprocess: Preprocess = preprocess_pictures) -> EvaluationSet:
    """scikit-learn's 1,797 digits of 8x8 pixels with 17 levels, scaled to 0..255 and preprocessed.

    They are scikit-learn's copy of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998).
    """
    bunch = load_digits()
    pictures = np.rint(bunch.images * (255 / _SKLEARN_FULL_INK)).astype(np.uint8)
    preprocessed = preprocess({"digits": pictures})["digits"].pixels
    return EvaluationSet("sklearn digits", preprocessed, bunch.target.astype(np.int64))
