"""Measures every figure of the model cards again, from the ONNX files and the data, with pictures."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from training.commands.data import load_data, say
from training.config import Places
from training.data.mnist import Mnist
from training.data.split import Split
from training.environment import processor
from training.errors import ExportError
from training.evaluation.evaluation_sets import other_handwriting
from training.export.model_card import model_card
from training.files import write_atomically
from training.other_handwriting.sets import FOR_CHOICES, HELD_OUT
from training.report.artefact import Artefact, highest_versions
from training.report.comparison import differences
from training.report.evaluation_data import load_evaluation_data
from training.report.gallery import draw_gallery
from training.report.measurement import ModelFigures, measure, mnist_figures, other_handwriting_figures
from training.report.report_text import other_handwriting_text, report_text
from training.report.seeds import seed_figures


def check_cards(places: Places) -> None:
    """Measure MNIST's figures alone and compare them with metadata.json; nothing is written.

    Raises:
        ExportError: a figure differs, or there is no model version.
    """
    artefacts, mnist = highest_versions(Path(places.model_repository)), load_data(places)
    figures = [mnist_figures(each, each.split(mnist).validation, mnist.test) for each in artefacts]
    _compare(artefacts, figures)
    say("MNIST's figures are those of metadata.json: " + ", ".join(each.name for each in artefacts))


def show_other_handwriting(places: Places) -> None:
    """Measure the highest version of each model on other people's handwriting; a table to standard output.

    Raises:
        ExportError: there is no model version.
        DataError: the preprocessing cannot run.
    """
    artefacts = highest_versions(Path(places.model_repository))
    sets = other_handwriting(places.cache, (*HELD_OUT, FOR_CHOICES), say)
    figures = {f"{each.name} {each.folder.name}": other_handwriting_figures(each, sets) for each in artefacts}
    Console().print(Markdown(other_handwriting_text(figures)))


def write_report(places: Places, output: str | None, write_cards: bool) -> None:
    """Measure every model; report.md, report.json and pictures into a folder, with `write_cards` the cards as well.

    Raises:
        ExportError: a figure differs from metadata.json, there is no model version, or a set that the cards need cannot
            be had.
    """
    artefacts, mnist = highest_versions(Path(places.model_repository)), load_data(places)
    data = load_evaluation_data(_common_split(artefacts, mnist), places.cache, say)
    measured = []
    for artefact in artefacts:
        say(f"measuring {artefact.name} ...")
        measured.append(measure(artefact, data))
    figures, seeds = [each.figures for each in measured], seed_figures(Path(places.runs_folder))
    text = report_text(figures, seeds, data.missing, f"{datetime.now(UTC):%d %B %Y}, {processor()}")
    folder = Path(output or Path(places.runs_folder) / "report")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"models": figures, "seeds": seeds, "missing": data.missing}
    write_atomically(folder / "report.json", (json.dumps(content, indent=2) + "\n").encode())
    write_atomically(folder / "report.md", text.encode())
    draw_gallery(folder, measured, seeds)
    Console().print(Markdown(text))
    say(f"report.md, report.json and pictures are in {folder}")
    if write_cards:
        if data.missing:
            raise ExportError(
                f"the model cards stay as they are, because of what is missing: {', '.join(data.missing)}"
            )
        _write_cards(artefacts, figures)
    _compare(artefacts, figures)


def _common_split(artefacts: Sequence[Artefact], mnist: Mnist) -> Split:
    """The split that all versions were trained with; without one, no comparison between them would be fair."""
    splits = {artefact.name: artefact.split(mnist) for artefact in artefacts}
    first = next(iter(splits.values()))
    for name, split in splits.items():
        if split.validation.pixels.tobytes() != first.validation.pixels.tobytes():
            raise ExportError(f"{name} was validated on other rows than {next(iter(splits))}: report them apart")
    return first


def _compare(artefacts: Sequence[Artefact], figures: Sequence[ModelFigures]) -> None:
    wrong = [
        line for artefact, each in zip(artefacts, figures, strict=True) for line in differences(artefact.metadata, each)
    ]
    if wrong:
        raise ExportError("what was measured is not what metadata.json says:\n" + "\n".join(wrong))


def _write_cards(artefacts: Sequence[Artefact], figures: Sequence[ModelFigures]) -> None:
    for artefact, each in zip(artefacts, figures, strict=True):
        metadata = artefact.metadata
        metadata["other_sets"] = each["other_sets"]
        content = (json.dumps(metadata, indent=2) + "\n").encode()
        write_atomically(artefact.folder / "metadata.json", content)
        write_atomically(artefact.folder / "MODEL_CARD.md", model_card(metadata).encode())
        say(f"written: {artefact.folder}/MODEL_CARD.md")
