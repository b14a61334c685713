"""Labels that were changed are doubted by networks that never saw their rows."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.training_labels.command import write_sheet
from experiments.training_labels.out_of_fold import doubts, out_of_fold
from tests.support.tiny_training import TINY
from training.data.arrays import LabelledDigits
from training.fit.run_folder import RunFolder

EPOCHS = 25
CHANGED = (7, 101, 202, 303)
QUICK = replace(TINY, averaging=0.9, dropout=0.0)  # it has few steps


def test_rows_whose_label_was_changed_are_doubted_more_than_others(digits: LabelledDigits, tmp_path: Path) -> None:
    labels = digits.labels.copy()
    labels[list(CHANGED)] = (labels[list(CHANGED)] + 1) % 10
    rows = LabelledDigits(digits.pixels, labels)
    fold = np.arange(len(rows)) % 2

    def probabilities() -> np.ndarray:
        folder = lambda number: RunFolder(tmp_path / f"labels-{number}")  # noqa: E731
        return out_of_fold(rows, fold, folder, EPOCHS, Console(file=io.StringIO()), QUICK)

    first = probabilities()
    of_label = first[np.arange(len(rows)), labels]
    assert np.mean(of_label[list(CHANGED)]) < np.mean(of_label) / 2
    assert np.array_equal(probabilities(), first)  # a finished run is not trained again
    found = doubts(labels, first)
    assert [each.label_probability for each in found] == sorted(each.label_probability for each in found)
    assert all(each.digit != each.label == labels[each.row] for each in found)
    write_sheet(tmp_path / "sheet.png", rows, found[:11])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
