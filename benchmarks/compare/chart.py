"""Draws the chart of a comparison from its JSON: a panel for each load, a bar for each server."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # draws without a screen

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.compare.results import Results, read_results
from benchmarks.load.measurement import LOADS, Load

OURS_COLOUR, PEER_COLOUR, CEILING_COLOUR = "#1f6f8b", "#b8b8b8", "#e6d9b8"
CEILINGS = ("echo", "echo-completion-queue", "onnxruntime-1", "onnxruntime-2")


def main(arguments: Sequence[str]) -> None:
    """Reads the results and writes the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks chart", description=__doc__)
    parser.add_argument(
        "results", help="(default: %(default)s)", nargs="?", type=Path, default=Path("runs/benchmark.json")
    )
    parser.add_argument(
        "picture", help="(default: %(default)s)", nargs="?", type=Path, default=Path("docs/images/benchmark.png")
    )
    options = parser.parse_args(arguments)
    if not draw(read_results(options.results), options.picture):
        raise SystemExit(f"error: {options.results} has none of the loads {', '.join(LOADS)}")
    print(f"drawn: {options.picture}")


def draw(results: Results, path: Path) -> bool:
    """Draws two panels a row, a panel for each of LOADS; bars are medians, lines their ranges, the fastest on top.

    Draws nothing and returns False if no server has any of these loads.
    """
    loads = [load for load in results.loads() if load in LOADS.values()]
    if not loads:
        return False
    rows = -(-len(loads) // 2)
    longest = max(sum(load in measured for measured in results.rounds.values()) for load in loads)
    figure, axes = plt.subplots(rows, min(2, len(loads)), figsize=(13, rows * (1.2 + 0.34 * longest)), squeeze=False)
    panels = list(axes.flat)
    for panel, load in zip(panels, loads, strict=False):
        _panel(panel, results, load)
    for unused in panels[len(loads) :]:
        unused.set_visible(False)
    about = results.about
    rounds = max(len(each) for measured in results.rounds.values() for each in measured.values())
    figure.suptitle(
        f"Requests per second, the same network unless a model is named; medians and ranges of {rounds} rounds\n"
        f"{about['processors']} x {about['processor']}, load generator included; {about['when'][:10]}",
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _panel(axes: Axes, results: Results, load: Load) -> None:
    spreads = {
        name: results.spread(name, load, lambda each: each.requests_per_second)
        for name, measured in results.rounds.items()
        if load in measured
    }
    names = sorted(spreads, key=lambda name: spreads[name].median)
    medians = [spreads[name].median for name in names]
    errors = [
        [spreads[name].median - spreads[name].lowest for name in names],
        [spreads[name].highest - spreads[name].median for name in names],
    ]
    axes.barh(range(len(names)), medians, xerr=errors, color=[_colour(name) for name in names], ecolor="#404040")
    largest = max(spreads[name].highest for name in names)
    for position, name in enumerate(names):
        axes.text(
            spreads[name].highest + largest * 0.015, position, f"{spreads[name].median:,.0f}", va="center", fontsize=8
        )
    axes.set_yticks(range(len(names)), [results.titles[name] for name in names], fontsize=9)
    axes.set_xlim(0, largest * 1.14)
    axes.set_title(load.title, fontsize=10)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _colour(name: str) -> str:
    if name in CEILINGS:
        return CEILING_COLOUR
    return OURS_COLOUR if name.startswith("ours") else PEER_COLOUR
