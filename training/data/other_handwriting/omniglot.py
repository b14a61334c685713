"""Handwritten characters that are no digits, of eight alphabets. Source and licence: omniglot.LICENSE.txt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from training.data.committed import read_committed

SIDE = 53  # of a drawing: Omniglot's 105 pixels, halved
ALPHABETS = ("Balinese", "Early_Aramaic", "Greek", "Japanese_(katakana)", "Korean", "Latin", "Sanskrit", "Tagalog")
TRAINING_ALPHABETS = ("Balinese", "Early_Aramaic", "Korean", "Sanskrit")
VALIDATION_ALPHABETS = ("Latin", "Tagalog")
HELD_OUT_ALPHABETS = ("Greek", "Japanese_(katakana)")

# Characters that are not in the file, by Omniglot's numbers. Left out is each one of which a person who sees one of its
# drawings alone could read a digit: closed rings (0, and 6 or 9 with a tail), single strokes and strokes with a hook
# or a foot (1), angles that open downwards to the left (7), what is open at the top with a stem at the right (4), what
# ends in a foot or a bowl as 2, 3 and 5 do, bowls one over the other (3, 8); of Latin all letters that are left out of
# handwriting fonts too (training/synthetic/text.py). Chosen by eye, by the shapes alone, before any network saw them.
LEFT_OUT: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "Balinese": (5, 14, 15, 21),
        "Early_Aramaic": (2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20),
        "Greek": (1, 2, 3, 4, 6, 8, 9, 14, 15, 18, 19, 20, 21),
        "Japanese_(katakana)": (
            *(1, 2, 3, 4, 8, 9, 12, 14, 15, 16, 18, 19, 20, 22, 24, 26, 27, 30, 35, 36, 37, 38, 41, 42, 43, 45, 46, 47),
        ),
        "Korean": (1, 5, 7, 9, 14, 19, 20, 21, 22, 24, 27, 28, 29, 33, 34, 37, 40),
        "Latin": (1, 2, 4, 7, 9, 10, 12, 15, 17, 19, 21, 25, 26),
        "Sanskrit": (5, 6, 11, 12, 13, 14, 18, 20, 21, 23, 27, 29, 33, 36, 37, 41),
        "Tagalog": (3, 4, 7, 10, 13, 16, 17),
    }
)

_FILE = Path(__file__).with_name("omniglot.npz")
SHA256 = "4402331a99653dbf0898d481d99265dacafd6dfe81f85518eb2b762c7dd1b5b7"


@dataclass(frozen=True, slots=True)
class Characters:
    """Drawn characters.

    Attributes:
        ink: (n, 53, 53) bool.
        alphabet: (n,) uint8, a place in ALPHABETS.
        character: (n,) uint8, its number in the alphabet, from 1.
    """

    ink: npt.NDArray[np.bool_]
    alphabet: npt.NDArray[np.uint8]
    character: npt.NDArray[np.uint8]

    def of(self, alphabets: Sequence[str]) -> Self:
        """The characters of these alphabets."""
        chosen = np.isin(self.alphabet, [ALPHABETS.index(name) for name in alphabets])
        return type(self)(self.ink[chosen], self.alphabet[chosen], self.character[chosen])


def load_omniglot(path: Path = _FILE) -> Characters:
    """The 2,580 drawings, 20 of each character, from the file that stands next to this module.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    arrays = read_committed(path, SHA256)
    ink = np.unpackbits(arrays["ink"], axis=1, count=SIDE * SIDE).reshape(-1, SIDE, SIDE).astype(np.bool_)
    return Characters(ink, arrays["alphabet"], arrays["character"])
