"""The report's pictures. Each takes an empty figure and draws; `pictures.saved` writes it."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from training.data.arrays import SIDE, Pixels
from training.report.measurement import ModelFigures
from training.report.novelty_scores import SHIPPED, auroc
from training.report.refusal import Refusal
from training.report.seeds import SeedFigures

_COLORS = ("#2563a8", "#d9722b", "#2f855a", "#7c3aed", "#b7295a")
_GREY = "#6b7280"  # of what others published
# Parameters and error rate (%) of published networks; sources stand in docs/report.md.
PUBLISHED = {
    "Deotte, mean of 100 runs": (327_242, 0.359),
    "hexhowells": (575, 2.0),
    "ruslangrimov": (1_936, 0.90),
    "nitin-vig": (7_070, 0.60),
    "ONNX Model Zoo mnist-12": (5_994, 1.1),
}
_PUBLISHED_WITHOUT_SIZE = ("tuomaso/train_mnist_fast", 0.96)
_CROWDED_FROM = 100_000  # parameters: there names stand to the left of their points, to stay inside
_LARGEST_SHEET = 60
SHEET_COLUMNS = 15
_CURVES_BEND_LOW = 0.9  # area below which curves pass through the lower right corner


def draw_frontier(figure: Figure, models: Sequence[ModelFigures], seeds: Mapping[str, SeedFigures]) -> None:
    """Error rate on the test rows against parameters: ours with the range over seeds, and published networks."""
    axes = figure.subplots()
    for name, (parameters, error) in PUBLISHED.items():
        axes.plot(parameters, error, "o", color=_GREY, markersize=5)
        side, offset = ("right", -6) if parameters > _CROWDED_FROM else ("left", 6)
        axes.annotate(name, (parameters, error), textcoords="offset points", xytext=(offset, 3), ha=side, fontsize=8)
    name, error = _PUBLISHED_WITHOUT_SIZE
    axes.axhline(error, color=_GREY, linewidth=0.8, linestyle=":")
    axes.annotate(
        f"{name}, size not published", (1, error), xycoords=("axes fraction", "data"), textcoords="offset points",
        xytext=(-2, 2), ha="right", fontsize=8,
    )  # fmt: skip
    for number, model in enumerate(models):
        error = 100 - 100 * model["metrics"]["mnist_test"]["accuracy"]
        axes.plot(
            model["parameters"], error, "s", color=_COLORS[number % len(_COLORS)], markersize=7, label=model["name"]
        )
    for recipe, runs in seeds.items():
        errors = [100 - 100 * accuracy for accuracy in runs["test_accuracy"]]
        if len(errors) > 1:
            axes.vlines(runs["parameters"], min(errors), max(errors), color="black", linewidth=1.5)
            axes.annotate(
                f"{recipe}, {len(errors)} seeds", (runs["parameters"], min(errors)), xytext=(-6, -3), ha="right",
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="errors on MNIST's test rows (%)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.legend(frameon=False)


def draw_corruptions(figure: Figure, models: Sequence[ModelFigures]) -> None:
    """Error rate of each model on each corruption, hardest first."""
    axes = figure.subplots()
    names = sorted(models[0]["other_sets"]["corruptions"], key=models[0]["other_sets"]["corruptions"].__getitem__)
    height = 0.8 / len(models)
    for number, model in enumerate(models):
        errors = [100 - 100 * model["other_sets"]["corruptions"][name] for name in names]
        mean = 100 - 100 * model["other_sets"]["corruptions_mean"]
        places = np.arange(len(names)) + (number - (len(models) - 1) / 2) * height
        axes.barh(
            places, errors, height, color=_COLORS[number % len(_COLORS)], label=f"{model['name']}: mean {mean:.2f} %"
        )
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="errors (%)", title="MNIST-C's corruptions")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3, linewidth=0.5)
    axes.legend(frameon=False, loc="lower right")


def draw_refusal(figure: Figure, refusal: Refusal) -> None:
    """ROC curves: digits wrongly refused (logarithmic) against non-digits refused, a panel a set, a line a score.

    A cross marks the shipped threshold; the legend gives the areas under the curves.
    """
    columns = min(len(refusal.others), 3)
    panels = figure.subplots(-(-len(refusal.others) // columns), columns, sharey=True, squeeze=False)
    for axes, (name, others) in zip(panels.flat, refusal.others.items(), strict=False):
        for color, score in zip(_COLORS, others.scores, strict=False):
            digits, strange = refusal.digits[score], others.scores[score]
            truth = np.concatenate([np.zeros(len(digits)), np.ones(len(strange))])
            wrong, right, _ = roc_curve(truth, np.concatenate([digits, strange]))
            label = f"{score}: {auroc(digits, strange):.4f}"
            axes.plot(np.maximum(wrong, 1e-4), right, color=color, label=label, linewidth=1.3)
        shares = [np.mean(each[SHIPPED] > refusal.threshold) for each in (refusal.digits, others.scores)]
        axes.plot(*shares, "x", color="black", markersize=8, markeredgewidth=2, label="shipped threshold")
        axes.set(title=name, xscale="log", xlim=(1e-4, 1), ylim=(0, 1.02), xlabel="test digits refused")
        axes.grid(alpha=0.3, linewidth=0.5)
        hard = auroc(refusal.digits[SHIPPED], others.scores[SHIPPED]) < _CURVES_BEND_LOW
        axes.legend(frameon=False, fontsize=7, loc="upper left" if hard else "lower right")
    for axes in panels[:, 0]:
        axes.set_ylabel("non-digits refused")
    for axes in panels.flat[len(refusal.others) :]:
        axes.set_axis_off()


def draw_sheet(figure: Figure, title: str, pixels: Pixels, captions: Sequence[str]) -> None:
    """Up to sixty pictures with a caption each, in rows of fifteen."""
    count, columns = min(len(pixels), _LARGEST_SHEET), SHEET_COLUMNS
    rows = max(-(-count // columns), 1)
    figure.set_size_inches(12, 0.5 + 1.0 * rows)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < count:
            axes.imshow(255 - pixels[number].reshape(SIDE, SIDE), cmap=mpl.colormaps["gray"], vmin=0, vmax=255)
            axes.set_title(captions[number], fontsize=7, fontweight="normal")
    figure.suptitle(title, fontsize=11)
