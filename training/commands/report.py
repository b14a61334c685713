"""`report`: every figure of the model cards again, from the artefacts and the data, with pictures."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from training.commands.context import mnist_of, say
from training.data.mnist import Mnist
from training.data.split import Split
from training.environment import processor
from training.errors import ExportError
from training.export.model_card import model_card
from training.files import write_atomically
from training.report.artefact import Artefact, highest_versions
from training.report.comparison import differences
from training.report.evaluation_data import load_report_data
from training.report.gallery import draw_gallery
from training.report.measurement import ModelFigures, measure, mnist_figures
from training.report.report_text import report_text
from training.report.seeds import seed_figures
from training.request import Request


def execute(request: Request) -> None:
    """Measure every model, write report.md, report.json and pictures; with --write-cards the cards as well.

    With --check, MNIST's figures alone are measured and compared, and nothing is written.
    """
    artefacts = highest_versions(Path(request.places.model_repository))
    mnist = mnist_of(request)
    if request.check:
        figures = [mnist_figures(each, each.split(mnist).validation, mnist.test) for each in artefacts]
        _compare(artefacts, figures)
        say("MNIST's figures are those of metadata.json: " + ", ".join(each.name for each in artefacts))
        return
    _report(request, artefacts, mnist)


def _report(request: Request, artefacts: Sequence[Artefact], mnist: Mnist) -> None:
    data = load_report_data(_common_split(artefacts, mnist), mnist.test, request.places.cache, say)
    measured = []
    for artefact in artefacts:
        say(f"measuring {artefact.name} ...")
        measured.append(measure(artefact, data))
    figures, seeds = [each.figures for each in measured], seed_figures(Path(request.places.runs_folder))
    text = report_text(figures, seeds, data.missing, f"{datetime.now(UTC):%d %B %Y}, {processor()}")
    folder = Path(request.output or Path(request.places.runs_folder) / "report")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"models": figures, "seeds": seeds, "missing": data.missing}
    write_atomically(folder / "report.json", (json.dumps(content, indent=2) + "\n").encode())
    write_atomically(folder / "report.md", text.encode())
    draw_gallery(folder, measured, seeds)
    Console().print(Markdown(text))
    say(f"report.md, report.json and pictures are in {folder}")
    if request.write_cards:
        if data.missing:
            raise ExportError(
                f"the model cards stay as they are, because of what is missing: {', '.join(data.missing)}"
            )
        _write_cards(artefacts, figures)
    _compare(artefacts, figures)


def _common_split(artefacts: Sequence[Artefact], mnist: Mnist) -> Split:
    """The one that all versions had, or no comparison between them would be fair."""
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
