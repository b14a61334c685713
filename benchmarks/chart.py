"""`python -m benchmarks.chart`: the benchmark's picture, drawn from its JSON: a panel a load, a bar a server."""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # draws without a screen

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.measurement import Load
from benchmarks.results import Results, read_results

OURS_COLOUR, PEER_COLOUR, LIMIT_COLOUR = "#1f6f8b", "#b8b8b8", "#e6d9b8"
LIMITS = ("echo", "onnxruntime-1", "onnxruntime-2")


def main() -> None:
    """Reads the results, writes the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("runs/benchmark.json"))
    parser.add_argument("picture", nargs="?", type=Path, default=Path("docs/images/benchmark.png"))
    options = parser.parse_args()
    draw(read_results(options.results), options.picture)
    print(f"drawn: {options.picture}")


def draw(results: Results, path: Path) -> None:
    """Two panels a row; bars are medians, lines their ranges, fastest on top."""
    loads = results.loads()
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
    if name in LIMITS:
        return LIMIT_COLOUR
    return OURS_COLOUR if name.startswith("ours") else PEER_COLOUR


if __name__ == "__main__":
    main()
