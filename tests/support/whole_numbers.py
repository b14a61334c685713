"""Whole numbers without MNIST, and readings of them: the committed digits, shared out among six writers."""

from pathlib import Path

import numpy as np

from experiments.whole_numbers.handwriting import SPLITS, Handwriting
from experiments.whole_numbers.pictures import Picture
from experiments.whole_numbers.scoring import ReadDigit, Reading, ReadLine
from training.data.arrays import LabelledDigits

_DIGITS = Path(__file__).parents[1] / "data" / "digits.npz"


def committed_handwriting() -> Handwriting:
    """400 digits; two writers in each split, each has some of every class."""
    with np.load(_DIGITS) as file:
        digits = LabelledDigits(file["pixels"], file["label"])
    writer = np.arange(len(digits)) % 6
    return Handwriting(digits, writer.astype(np.uint16), (writer % len(SPLITS)).astype(np.int64))


def perfect(picture: Picture, probability: float = 0.9) -> Reading:
    """The reading that is the picture's truth."""
    return {"lines": [read_line(line.text, line.boxes.tolist(), probability) for line in picture.lines]}


def read_line(text: str, boxes: list[list[int]], probability: float = 0.9, refused: bool = False) -> ReadLine:
    """A line read from these boxes, no digit refused."""
    digits: list[ReadDigit] = [
        {"digit": int(digit), "refused": False, "box": box} for digit, box in zip(text, boxes, strict=True)
    ]
    return {"text": text, "probability": probability, "refused": refused, "digits": digits}
