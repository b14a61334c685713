"""`report`: every figure of the model cards again, from the artefacts and the data, with pictures."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from training.atomic_write import write_atomically
from training.commands.context import mnist_of, say
from training.environment import processor
from training.errors import ExportError
from training.model_card import model_card
from training.pictures import draw_misclassified, draw_reliability, saved
from training.report.artefact import Artefact, highest_versions
from training.report.measuring import ModelFigures, differences, measure
from training.report.plots import draw_corruptions, draw_frontier, draw_refusal, draw_sheet
from training.report.report_data import ReportData, load_report_data
from training.report.report_text import report_text
from training.report.seeds import seed_figures
from training.report.strangeness import FeatureDistance, scores
from training.request import Request


def execute(request: Request) -> None:
    """Measure every model, write report.md, report.json and pictures; with --write-cards the cards as well."""
    repository, runs = Path(request.places.model_repository), Path(request.places.runs_folder)
    folder = runs / "report"
    artefacts = highest_versions(repository)
    data = load_report_data(mnist_of(request), request.places.cache, say)
    models = []
    for artefact in artefacts:
        say(f"measuring {artefact.name} ...")
        models.append(measure(artefact, data))
    seeds = seed_figures(runs)
    made = f"{datetime.now(UTC):%d %B %Y}, {processor()}"
    text = report_text(models, seeds, data.missing, made)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.md", text.encode())
    write_atomically(folder / "report.json", json.dumps({"models": models, "seeds": seeds}, indent=2).encode())
    with saved(folder / "frontier.png", 7, 4.6) as figure:
        draw_frontier(figure, models, seeds)
    if data.corrupted_test:
        with saved(folder / "corruptions.png", 7, 6) as figure:
            draw_corruptions(figure, models)
    for artefact in artefacts:
        _draw_model(folder, artefact, data)
    Console().print(Markdown(text))
    say(f"report.md, report.json and pictures are in {folder}")
    if request.write_cards:
        _write_cards(artefacts, models)
    wrong = [line for artefact, model in zip(artefacts, models, strict=True) for line in differences(artefact, model)]
    if wrong:
        raise ExportError("what was measured is not what the model cards say:\n" + "\n".join(wrong))


def _draw_model(folder: Path, artefact: Artefact, data: ReportData) -> None:
    """Reliability, mistakes, refusal curves, and what was wrongly accepted or refused."""
    test = artefact.answers(data.test)
    with saved(folder / f"{artefact.name}-reliability.png", 5.2, 5.6) as figure:
        draw_reliability(figure, data.test, test.probabilities)
    with saved(folder / f"{artefact.name}-mistakes.png", 10, 0.6) as figure:
        draw_misclassified(figure, data.test, test.probabilities)
    refused = np.flatnonzero(test.novelty > artefact.threshold)
    refused = refused[np.argsort(-test.novelty[refused])]
    with saved(folder / f"{artefact.name}-refused-digits.png", 12, 2) as figure:
        captions = [f"{data.test.labels[row]}: {test.novelty[row]:.2f}" for row in refused]
        draw_sheet(figure, "Test digits refused: label and novelty", data.test.pixels[refused], captions)
    others = {each.name: each.pixels for each in data.evaluation_sets if each.labels is None}
    if not others:
        return
    distance = FeatureDistance.fit(artefact.read(data.train.pixels).hidden, data.train.labels)
    of_digits = scores(artefact.read(data.test.pixels), distance)
    readings = {name: artefact.read(pixels) for name, pixels in others.items()}
    with saved(folder / f"{artefact.name}-refusal.png", 3.2 * len(others), 3.4) as figure:
        draw_refusal(figure, of_digits, {name: scores(reading, distance) for name, reading in readings.items()})
    with saved(folder / f"{artefact.name}-accepted-non-digits.png", 12, 2) as figure:
        pixels = np.concatenate(list(others.values()))
        novelty = np.concatenate([reading.novelty for reading in readings.values()])
        digit = np.concatenate([np.argmax(reading.probabilities, axis=1) for reading in readings.values()])
        first = np.argsort(novelty)[:60]
        captions = [f"{digit[row]}: {novelty[row]:.3f}" for row in first]
        draw_sheet(figure, "Non-digits least refused: the digit read and novelty", pixels[first], captions)


def _write_cards(artefacts: list[Artefact], models: list[ModelFigures]) -> None:
    for artefact, model in zip(artefacts, models, strict=True):
        metadata = artefact.metadata
        metadata["other_sets"] = model["other_sets"]
        content = (json.dumps(metadata, indent=2) + "\n").encode()
        write_atomically(artefact.folder / "metadata.json", content)
        write_atomically(artefact.folder / "MODEL_CARD.md", model_card(metadata).encode())
        say(f"written: {artefact.folder}/MODEL_CARD.md")
