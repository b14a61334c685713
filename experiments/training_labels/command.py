"""Runs the experiment: a network for each fold of writers; table, sheet and file of the doubtful rows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.training_labels.out_of_fold import Doubt, doubts, out_of_fold
from training.adapt.folds import folds_of
from training.commands.data import console, load_data, run_folder, say
from training.config import Places
from training.data.arrays import LabelledDigits
from training.data.writers import load_writers
from training.evaluation.plots import saved
from training.report.plots import draw_sheet

FILE, SHEET = "labels.json", "doubtful-labels.png"
_SHOWN = 60


def measure(places: Places, run: str, folds: int, epochs: int) -> None:
    """Train what is not trained yet; labels.json and the sheet into the run's folder, a table to standard output.

    Raises:
        RunError: a network of this run was begun with other settings.
    """
    folder, digits = run_folder(places, run), load_data(places).train
    fold = folds_of(load_writers().writer[: len(digits)].astype(np.int64), folds=folds)
    probabilities = out_of_fold(digits, fold, lambda number: run_folder(places, f"{run}-{number + 1}"), epochs, console)
    found = doubts(digits.labels, probabilities)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json(FILE, [dataclasses.asdict(each) for each in found])
    write_sheet(folder.path / SHEET, digits, found[:_SHOWN])
    Console().print(_table(found[:_SHOWN]))
    right = np.mean(np.argmax(probabilities, axis=1) == digits.labels)
    say(f"{right:.2%} of {len(digits):,} rows are read as labelled; {FILE} and {SHEET} are in {folder.path}")


def write_sheet(path: Path, digits: LabelledDigits, found: Sequence[Doubt]) -> None:
    """A picture of the rows, each with its number, its label and what was read."""
    captions = [f"{each.row}\n{each.label} → {each.digit} ({each.confidence:.0%})" for each in found]
    with saved(path, 12, 1) as figure:
        draw_sheet(figure, "Training rows whose labels are doubtful", digits.pixels[[e.row for e in found]], captions)


def _table(found: Sequence[Doubt]) -> Table:
    table = Table("row", "label", "read", "confidence", "probability of the label")
    for each in found:
        table.add_row(
            f"{each.row}", f"{each.label}", f"{each.digit}", f"{each.confidence:.4f}", f"{each.label_probability:.1e}"
        )
    return table
