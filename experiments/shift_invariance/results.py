"""Results of the experiment: a file, a table and the pictures of docs/lesson.md."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.table import Table

from experiments.shift_invariance.experiment import NETWORKS, Outcome, Trial, moved, shuffle
from training.data.arrays import SIDE, Floats, Pixels
from training.evaluation.plots import saved

_COLOURS = {"dense": "#d9722b", "convolutional": "#2563a8"}
_SHIFT = 2  # of the table, and of the picture


def outcome_from(stored: Mapping[str, Any]) -> Outcome:
    """An outcome from the mapping that `dataclasses.asdict` made of it."""
    shifts, accuracies = tuple(stored["shifts"]), tuple(stored["accuracies"])
    return Outcome(Trial(**stored["trial"]), stored["parameters"], shifts, accuracies)


def lesson_table(outcomes: Sequence[Outcome]) -> Table:
    """Accuracy of each network: on digits, on shuffled ones, and on digits that are moved. Mean, least and most."""
    columns = ["network", "parameters", "digits", "shuffled digits", f"digits moved by {_SHIFT} pixels"]
    table = Table(*columns, title="Accuracy on MNIST's test rows: mean (range) over seeds")
    for network in NETWORKS:
        plain, shuffled = (_of(outcomes, network, is_shuffled) for is_shuffled in (False, True))
        if not plain or not shuffled:
            continue
        table.add_row(
            network,
            f"{plain[0].parameters:,}",
            _mean_and_range([_at(each, 0) for each in plain]),
            _mean_and_range([_at(each, 0) for each in shuffled]),
            _mean_and_range([_at(each, _SHIFT) for each in plain]),
        )
    return table


def lesson_file(outcomes: Sequence[Outcome], conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for JSON."""
    return {**conditions, "outcomes": [dataclasses.asdict(each) for each in outcomes]}


def draw_shuffle(path: Path, pixels: Pixels) -> None:
    """Digits (n, 784) as they are, shuffled, and moved."""
    rows = {
        "as they are": pixels,
        "shuffled": pixels[:, shuffle()],
        f"moved by {_SHIFT}": moved(pixels, 0, _SHIFT),
    }
    with saved(path, len(pixels), 1.15 * len(rows)) as figure:
        grid = figure.subplots(len(rows), len(pixels), squeeze=False)
        for axes, (name, images) in zip(grid, rows.items(), strict=True):
            axes[0].set_ylabel(name, fontsize=8)
            for each, image in zip(axes, images, strict=True):
                each.imshow(255 - image.reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=255)
                each.set(xticks=[], yticks=[])


def draw_accuracies(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Left: digits and shuffled digits. Right: digits moved by more and more pixels. Bars over seeds."""
    with saved(path, 9, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for number, network in enumerate(NETWORKS):
            _draw_shuffled(left, number, network, outcomes)
            _draw_moved(right, network, outcomes)
        left.set(xticks=[0, 1], xticklabels=["digits", "shuffled digits"], ylabel="errors (%)", ylim=(0, None))
        right.set(xlabel="moved by (pixels)", ylabel="accuracy (%)", xticks=outcomes[0].shifts)
        for axes in (left, right):
            axes.legend(frameon=False)


def draw_filters(path: Path, convolutional: Floats, dense: Floats) -> None:
    """Weights of the first layers: kernels (3, 3, 1, 16) above, the weights of 16 units of (784, units) below."""
    kernels = convolutional[:, :, 0].transpose(2, 0, 1)
    units = dense.T[: len(kernels)].reshape(-1, SIDE, SIDE)
    with saved(path, 9, 1.6) as figure:
        grid = figure.subplots(2, len(kernels))
        for axes, name, weights in zip(grid, ("kernels", "dense units"), (kernels, units), strict=True):
            axes[0].set_ylabel(name, fontsize=8)
            most = np.abs(weights).max()
            for each, picture in zip(axes, weights, strict=True):
                each.imshow(picture, cmap="RdBu", vmin=-most, vmax=most)
                each.set(xticks=[], yticks=[])


def _draw_shuffled(axes: Axes, number: int, network: str, outcomes: Sequence[Outcome]) -> None:
    errors = [
        [100 - 100 * _at(each, 0) for each in _of(outcomes, network, is_shuffled)] for is_shuffled in (False, True)
    ]
    means = [np.mean(each) for each in errors]
    spread = np.abs(np.array([[min(each), max(each)] for each in errors]).T - means)
    places = np.arange(2) + 0.36 * (number - 0.5)
    axes.bar(places, means, 0.34, yerr=spread, color=_COLOURS[network], label=network, capsize=3)


def _draw_moved(axes: Axes, network: str, outcomes: Sequence[Outcome]) -> None:
    plain = _of(outcomes, network, False)
    shares = 100 * np.array([each.accuracies for each in plain])
    mean = shares.mean(axis=0)
    spread = [mean - shares.min(axis=0), shares.max(axis=0) - mean]
    axes.errorbar(plain[0].shifts, mean, spread, color=_COLOURS[network], label=network, marker=".", capsize=3)


def _of(outcomes: Sequence[Outcome], network: str, is_shuffled: bool) -> list[Outcome]:
    return [each for each in outcomes if (each.trial.network, each.trial.is_shuffled) == (network, is_shuffled)]


def _at(outcome: Outcome, shift: int) -> float:
    return outcome.accuracies[outcome.shifts.index(shift)]


def _mean_and_range(shares: Sequence[float]) -> str:
    return f"{np.mean(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"
