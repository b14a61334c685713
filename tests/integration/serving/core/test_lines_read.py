"""Whole numbers by the shipped model, from picture to text. `make` of experiments/whole_numbers measures many more."""

import pytest

from experiments.whole_numbers.pictures import make
from serving.core.line_decoding import decoded_lines
from serving.image.segmentation.segmentation import segment_grey
from serving.models.column_network import ColumnNetwork
from serving.predictions import Predictions
from tests.support.shipped_model import shipped_model
from tests.support.whole_numbers import committed_handwriting

PICTURES = 40


# Of 200 pictures each, written with the committed digits, 2026-11-29: 0.98, 0.84, 0.82, 0.93, 0.93, 0.90. A share of 40
# varies by 0.03 to 0.06 (one standard deviation): floors are two of them lower.
@pytest.mark.parametrize(
    ("kind", "floor"),
    [
        ("scan-spaced", 0.92),
        ("scan-touching", 0.7),
        ("photo-touching", 0.7),
        ("ruled", 0.85),
        ("boxes", 0.85),
        ("comb", 0.8),
    ],
)
def test_most_short_lines_are_read_right(kind: str, floor: float) -> None:
    handwriting, model = committed_handwriting(), shipped_model()
    right = 0
    for seed in range(PICTURES):
        picture = make(kind, seed, "validation", handwriting)
        found = segment_grey(picture.grey, ColumnNetwork())
        if not len(found.pixels):
            continue
        batch = model.run(found.pixels)
        lines = decoded_lines(found, Predictions(batch, 0, len(batch)))
        right += [line.text for line in lines if line.text] == [line.text for line in picture.lines]
    assert right / PICTURES >= floor, f"{right} of {PICTURES} are read right"
