"""The report's picture files, one function a subject."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.plots import draw_misclassified, draw_reliability, saved
from training.report.measurement import Measurement
from training.report.novelty_scores import SHIPPED
from training.report.plots import SHEET_COLUMNS, draw_corruptions, draw_frontier, draw_refusal, draw_sheet
from training.report.refusal import NonDigits
from training.report.seeds import SeedFigures


def draw_gallery(folder: Path, measured: Sequence[Measurement], seeds: Mapping[str, SeedFigures]) -> None:
    """Write every picture into `folder`: two of all models together, then those of each."""
    figures = [each.figures for each in measured]
    with saved(folder / "frontier.png", 7, 4.6) as figure:
        draw_frontier(figure, figures, seeds)
    with saved(folder / "corruptions.png", 7, 7) as figure:
        draw_corruptions(figure, figures)
    for each in measured:
        _draw_predictions(folder, each)
        if each.refusal.others:
            _draw_refusal(folder, each)


def _draw_predictions(folder: Path, measurement: Measurement) -> None:
    """Reliability, mistakes, and digits that were refused."""
    name, test = measurement.figures["name"], measurement.test
    with saved(folder / f"{name}-reliability.png", 5.2, 5.6) as figure:
        draw_reliability(figure, test.digits, test.probabilities)
    with saved(folder / f"{name}-mistakes.png", 10, 0.6) as figure:
        draw_misclassified(figure, test.digits, test.probabilities)
    refused = np.flatnonzero(test.novelty > measurement.refusal.threshold)
    refused = refused[np.argsort(-test.novelty[refused])]
    captions = [f"{test.digits.labels[row]}: {test.novelty[row]:.2f}" for row in refused]
    with saved(folder / f"{name}-refused-digits.png", 12, 2) as figure:
        draw_sheet(figure, "Test digits refused: label and novelty", test.digits.pixels[refused], captions)


def _draw_refusal(folder: Path, measurement: Measurement) -> None:
    name, refusal = measurement.figures["name"], measurement.refusal
    with saved(folder / f"{name}-refusal.png", 11, 3.6 * -(-len(refusal.others) // 3)) as figure:
        draw_refusal(figure, refusal)
    for set_name, others in refusal.others.items():
        file = set_name.replace(",", "").replace(" ", "-")
        with saved(folder / f"{name}-accepted-{file}.png", 12, 2) as figure:
            _draw_accepted(figure, set_name, others, refusal.threshold)


def _draw_accepted(figure: Figure, set_name: str, others: NonDigits, threshold: float) -> None:
    """Two rows of what was accepted, the least novel first."""
    novelty = others.scores[SHIPPED]
    accepted = np.flatnonzero(novelty <= threshold)
    first = accepted[np.argsort(novelty[accepted])][: 2 * SHEET_COLUMNS]
    captions = [f"{others.digit[row]}: {novelty[row]:.3f}" for row in first]
    title = f"{set_name}: {len(accepted):,} of {len(novelty):,} accepted, the surest first (digit read: novelty)"
    draw_sheet(figure, title, others.pixels[first], captions)
