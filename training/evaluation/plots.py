"""Plots of a run: training curves, confusion matrix, reliability diagram, misclassified digits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from training.data.arrays import CLASSES, SIDE, Floats, LabelledDigits
from training.evaluation.metrics import KNOWN_WRONG_TEST_LABELS, calibration, confusion_matrix

_BLUE, _ORANGE, _GREY = "#2563a8", "#d9722b", "#6b7280"
_STYLE: dict[RcKeyType, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "savefig.facecolor": "white",
}
_LARGEST_GRID = 60  # pictures of misclassified digits; a network that fails more often needs no larger grid


def draw_run(
    folder: Path, history: Sequence[Mapping[str, float]], digits: LabelledDigits, probabilities: Floats
) -> None:
    """Write four PNG files into `folder`.

    Args:
        folder: the run's folder.
        history: its epochs, as in history.json.
        digits: the test rows.
        probabilities: (n, 10) float32, the calibrated predictions for them.
    """
    with saved(folder / "training-curves.png", 9, 3.6) as figure:
        draw_training_curves(figure, history)
    with saved(folder / "confusion-matrix.png", 5.6, 5.2) as figure:
        draw_confusion_matrix(figure, digits, probabilities)
    with saved(folder / "reliability.png", 5.2, 5.6) as figure:
        draw_reliability(figure, digits, probabilities)
    with saved(folder / "misclassified.png", 10, 0.6) as figure:
        draw_misclassified(figure, digits, probabilities)


def draw_training_curves(figure: Figure, history: Sequence[Mapping[str, float]]) -> None:
    """Loss and error rate by epoch, on logarithmic axes."""
    epochs = [record["epoch"] for record in history]
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [record["loss"] for record in history], color=_GREY, label="training, distorted images")
    left.plot(epochs, [record["validation_loss"] for record in history], color=_BLUE, label="validation")
    left.set(title="Loss", xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log")
    right.plot(epochs, [100 - 100 * record["accuracy"] for record in history], color=_GREY)
    right.plot(epochs, [100 - 100 * record["validation_accuracy"] for record in history], color=_BLUE)
    right.set(title="Errors", xlabel="epoch", ylabel="errors (%)", yscale="log")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.grid(alpha=0.3, which="both", linewidth=0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False)


def draw_confusion_matrix(figure: Figure, digits: LabelledDigits, probabilities: Floats) -> None:
    """Counts by label and predicted digit; the colour shows mistakes only, or the diagonal would drown them."""
    counts = confusion_matrix(probabilities, digits.labels)
    mistakes = counts * (1 - np.eye(CLASSES, dtype=np.int64))
    axes = figure.subplots()
    axes.imshow(mistakes, cmap="Oranges", vmax=max(2 * int(mistakes.max()), 1))
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            weight, color = ("bold", _BLUE) if row == column else ("normal", "black")
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontweight=weight, color=color)
    wrong = int(mistakes.sum())
    axes.set(title=f"{wrong} of {len(digits):,} test digits read wrong", xlabel="digit that was read", ylabel="label")
    axes.set(xticks=range(CLASSES), yticks=range(CLASSES))
    axes.tick_params(length=0)


def draw_reliability(figure: Figure, digits: LabelledDigits, probabilities: Floats) -> None:
    """Accuracy by confidence above, the number of predictions in each bin below (logarithmic)."""
    result = calibration(probabilities, digits.labels)
    filled = result.counts > 0
    confidence, accuracy = result.mean_confidence[filled], result.mean_accuracy[filled]
    deviation = np.sqrt(np.maximum(confidence * (1 - confidence), 1e-9) / result.counts[filled])
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1, label="as sure as right")
    upper.errorbar(
        confidence,
        accuracy,
        yerr=deviation,
        fmt="o-",
        color=_BLUE,
        markersize=4,
        capsize=2,
        label="predictions (±1 sigma)",
    )
    upper.set(title=f"Reliability, expected calibration error {result.expected_error:.2%}", ylabel="accuracy")
    upper.set(ylim=(-0.02, 1.02))
    upper.legend(frameon=False, loc="upper left")
    edges = np.linspace(0, 1, len(result.counts) + 1)
    lower.bar(edges[:-1], result.counts, width=np.diff(edges), align="edge", color=_BLUE, edgecolor="white")
    lower.set(
        xlabel="confidence: the largest calibrated probability",
        ylabel="predictions",
        yscale="log",
        xlim=(0, 1),
        ylim=(0.7, None),
    )


def draw_misclassified(figure: Figure, digits: LabelledDigits, probabilities: Floats) -> None:
    """Every test digit that was read wrong, the surest mistakes first; labels known to be wrong are marked."""
    predicted = np.argmax(probabilities, axis=1)
    wrong = np.flatnonzero(predicted != digits.labels)
    wrong = wrong[np.argsort(-probabilities[wrong, predicted[wrong]])][:_LARGEST_GRID]
    columns = 10
    rows = max(-(-len(wrong) // columns), 1)
    figure.set_size_inches(10, 0.6 + 1.25 * rows)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(wrong):
            _draw_mistake(axes, int(wrong[number]), digits, probabilities)
    figure.suptitle(
        "Misclassified test digits: label → digit read (confidence); * the label is known to be wrong", fontsize=11
    )


def _draw_mistake(axes: Axes, row: int, digits: LabelledDigits, probabilities: Floats) -> None:
    digit = int(np.argmax(probabilities[row]))
    star = "*" if row in KNOWN_WRONG_TEST_LABELS else ""
    axes.imshow(255 - digits.pixels[row].reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=255)
    title = f"{digits.labels[row]}{star} → {digit} ({probabilities[row, digit]:.0%})"
    axes.set_title(title, fontsize=9, fontweight="normal", color=_GREY if star else "black")


@contextmanager
def saved(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of this many inches, written to `path` when the block ends."""
    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(width, height), layout="constrained"
        )  # no pyplot: it keeps figures and wants a display
        yield figure
        figure.savefig(path, metadata={"Software": None})  # the same picture has the same bytes
