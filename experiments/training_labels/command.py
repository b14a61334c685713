"""Runs the experiment: a network for each fold of writers; table, sheet and file of the doubtful rows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.training_labels.out_of_fold import Doubt, doubts, folds_by_writer, out_of_fold
from training.commands.data import console, load_data, run_folder, say
from training.config import Places
from training.data.arrays import SIDE, LabelledDigits
from training.data.writers import load_writers
from training.evaluation.plots import saved

FILE, SHEET = "labels.json", "doubtful-labels.png"
_SHOWN = 60


def measure(places: Places, run: str, folds: int, epochs: int) -> None:
    """Train what is not trained yet; labels.json and the sheet into the run's folder, a table to standard output.

    Raises:
        RunError: a network of this run was begun with other settings.
    """
    folder, digits = run_folder(places, run), load_data(places).train
    fold = folds_by_writer(load_writers().writer[: len(digits)], folds)
    probabilities = out_of_fold(digits, fold, lambda number: run_folder(places, f"{run}-{number + 1}"), epochs, console)
    found = doubts(digits.labels, probabilities)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json(FILE, [dataclasses.asdict(each) for each in found])
    draw_sheet(folder.path / SHEET, digits, found[:_SHOWN])
    Console().print(_table(found[:_SHOWN]))
    right = np.mean(np.argmax(probabilities, axis=1) == digits.labels)
    say(f"{right:.2%} of {len(digits):,} rows are read as labelled; {FILE} and {SHEET} are in {folder.path}")


def draw_sheet(path: Path, digits: LabelledDigits, found: Sequence[Doubt]) -> None:
    """A picture of the rows, ten in a line, each with its number, its label and what was read."""
    lines = max(-(-len(found) // 10), 1)
    with saved(path, 10, 0.4 + 1.4 * lines) as figure:
        for number, axes in enumerate(figure.subplots(lines, 10, squeeze=False).flat):
            axes.set_axis_off()
            if number < len(found):
                doubt = found[number]
                axes.imshow(255 - digits.pixels[doubt.row].reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=255)
                title = f"{doubt.row}\n{doubt.label} → {doubt.digit} ({doubt.confidence:.1%})"
                axes.set_title(title, fontsize=8, fontweight="normal")


def _table(found: Sequence[Doubt]) -> Table:
    table = Table("row", "label", "read", "confidence", "probability of the label")
    for each in found:
        table.add_row(
            f"{each.row}", f"{each.label}", f"{each.digit}", f"{each.confidence:.4f}", f"{each.label_probability:.1e}"
        )
    return table
