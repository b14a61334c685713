"""Results of a race: a table, a picture of all points, and a file with them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from experiments.time_to_accuracy.race import Run

_REFERENCE_COLOUR, _OUR_COLOURS = "#d9722b", ("#7fb2e5", "#2563a8", "#12355b")


def race_table(reference: Run, candidate_runs: Sequence[Run]) -> Table:
    """Seconds of training to each target, and how many times fewer ours took; then how each run ended."""
    table = Table("", reference.name, "ours", "times fewer", title="Seconds of training to an accuracy")
    for run in candidate_runs:
        (target,) = run.targets
        table.add_row(f"{target:.1%}", seconds(reference, target), seconds(run, target), advantage(reference, run))
    table.add_section()
    for run in (reference, *candidate_runs):
        column = 1 if run is reference else 2
        cells = ["", "", ""]
        cells[column - 1] = _ending(run)
        table.add_row(f"{run.name}: at its end", *cells)
    return table


def seconds(run: Run, target: float) -> str:
    """Seconds of training until the target as a text, or that it was not reached."""
    found = run.seconds_to(target)
    return f"not within {_trained(run):.0f} s" if found is None else f"{found:.1f} s"


def advantage(reference: Run, run: Run) -> str:
    """Factor by which `run` reached its target sooner, as a text; a lower bound when only it got there."""
    (target,) = run.targets
    theirs, ours = reference.seconds_to(target), run.seconds_to(target)
    if ours is None:
        return ""
    return f"more than {_trained(reference) / ours:.1f}" if theirs is None else f"{theirs / ours:.1f}"


def race_file(runs: Sequence[Run], conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for JSON: conditions, and each run with its points and its seconds to each target."""
    return {**conditions, "runs": [{**dataclasses.asdict(run), "seconds_to": _reached(run)} for run in runs]}


def draw_race(path: Path, reference: Run, candidate_runs: Sequence[Run]) -> None:
    """A PNG at `path`: error over seconds of training, both logarithmic, a line for each run and for each target."""
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=110)
    axes = figure.subplots()
    for target in reference.targets:
        axes.axhline(100 - 100 * target, color="#d1d5db", linewidth=1)
        place = (1, 100 - 100 * target)
        axes.annotate(f"{target:.1%}", place, xycoords=("axes fraction", "data"), va="bottom", ha="right")
    colours = (_REFERENCE_COLOUR, *_OUR_COLOURS)
    for number, run in enumerate((reference, *candidate_runs)):
        errors = [100 - 100 * point.accuracy for point in run.points]
        colour = colours[min(number, len(colours) - 1)]
        axes.plot([point.seconds for point in run.points], errors, color=colour, label=run.name, marker=".")
    axes.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="error on the held-out rows (%)")
    axes.legend(frameon=False)
    figure.savefig(path)


def _reached(run: Run) -> dict[str, float | None]:
    return {f"{target:.1%}": run.seconds_to(target) for target in run.targets}


def _trained(run: Run) -> float:
    return run.points[-1].seconds if run.points else 0.0


def _ending(run: Run) -> str:
    if not run.points:
        return "never evaluated"
    last = run.points[-1]
    return f"{last.accuracy:.2%} after {last.seconds:.0f} s (and {run.prepared_seconds:.1f} s of preparation)"
