"""Adapting a tiny version to a few pictures, end to end: what is written, and what the server makes of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from serving.models.onnx_session import OnnxSession
from serving.models.quality import what_is_worse
from serving.models.repository import ModelRepository
from tests.support.committed_models import committed
from tests.support.tiny_training import TINY
from training.adapt.own_digits import OwnDigits
from training.adapt.start_version import StartVersion, highest_version
from training.cli import main
from training.commands.adapt import Others, Outcome, adapt_to, conclude
from training.config import AdaptConfig, Places
from training.data.arrays import NOT_A_DIGIT, SIDE, LabelledDigits
from training.data.split import Split
from training.errors import ExportError
from training.evaluation.evaluation_sets import EvaluationSet
from training.export.drift_reference import Populations
from training.export.metadata import Adaptation
from training.export.model_card import model_card
from training.export.model_version import FinishedRun, export_run
from training.fit.batches import AddedRows


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, evaluated_run: FinishedRun, small_split: Split) -> Places:
    """A repository with a version of the tiny network, tiny/1."""
    places = Places(model_repository=str(tmp_path_factory.mktemp("models")), model="tiny")
    export_run(evaluated_run, small_split, Path(places.model_repository), "tiny")
    return places


@pytest.fixture(scope="module")
def others(small_split: Split, added: AddedRows, digits: LabelledDigits) -> Others:
    """Few rows in the place of every population."""
    noise = np.random.default_rng(1).integers(0, 256, (40, SIDE**2), np.uint8)
    sets = (EvaluationSet("few digits", digits.pixels[:50], digits.labels[:50]), EvaluationSet("noise", noise, None))
    stand_ins = {"stand-ins": digits.take(np.arange(60, 120))}
    return Others(small_split, added, stand_ins, sets, Populations({"MNIST": digits.pixels}, {}))


@pytest.fixture(scope="module")
def mirrored(digits: LabelledDigits) -> OwnDigits:
    """Ninety digits in mirror writing, which the tiny network reads badly, by three writers; and ten without digits."""
    pixels = digits.pixels[:90].reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(-1, SIDE**2)
    noise = np.random.default_rng(2).integers(0, 256, (10, SIDE**2), np.uint8)
    labels = np.concatenate([digits.labels[:90], np.full(10, NOT_A_DIGIT)])
    return OwnDigits(LabelledDigits(np.concatenate([pixels, noise]), labels), np.arange(100) % 3, "writer")


@pytest.fixture(scope="module")
def outcome(mirrored: OwnDigits, others: Others, places: Places) -> Outcome:
    """The tiny network adapted to them, by a few dozen steps for each part."""
    start = StartVersion.read(highest_version(Path(places.model_repository), "tiny"))
    return adapt_to(mirrored, start, AdaptConfig(6, 0.01, 32, 1.0, TINY.threads), others)


def test_a_version_that_reads_own_pictures_better_is_written_and_passes_the_servers_gate(
    outcome: Outcome, mirrored: OwnDigits, others: Others, places: Places
) -> None:
    folder = conclude(outcome, others.split, places, anyway=False)
    assert folder == Path(places.model_repository) / "tiny" / "2"
    assert {path.name for path in folder.iterdir()} == {
        "MODEL_CARD.md", "drift.json", "golden.npz", "metadata.json", "model.onnx"
    }  # fmt: skip
    metadata = json.loads((folder / "metadata.json").read_text())
    start = json.loads((folder.parent / "1" / "metadata.json").read_text())
    adaptation = metadata["adaptation"]
    assert adaptation["start"] == {"name": "tiny", "version": 1, "sha256": start["files"]["model.onnx"]}
    assert (adaptation["pictures"], adaptation["digits"], adaptation["groups"], adaptation["parts"]) == (100, 90, 3, 3)
    assert adaptation["sha256"] == mirrored.sha256
    assert adaptation["objections"] == []
    own = adaptation["own"]["answered rightly"]
    assert own["interval"][0] > 0
    assert own["after"] > own["before"]
    assert metadata["training"]["start"] == "tiny/1/model.onnx"
    assert "own digits" in json.loads((folder / "drift.json").read_text())["features"]["digit"]["populations"]
    assert (folder / "MODEL_CARD.md").read_text() == model_card(metadata)

    repository = ModelRepository(folder.parent.parent, "tiny")
    new, old = (repository.load(number, lambda graph, _: OnnxSession(graph, "cpu", threads=1), 64) for number in (2, 1))
    assert "accuracy of few digits" in new.figures
    assert "refused of noise, which are no digits," in new.figures
    assert what_is_worse(new.figures, old.figures, 0.5) == ""

    with pytest.raises(ExportError, match="was adapted itself"):
        StartVersion.read(folder)
    assert highest_version(Path(places.model_repository), "tiny").name == "1"


def test_what_speaks_against_a_version_keeps_it_from_being_written_but_with_anyway_and_the_card_says_it(
    outcome: Outcome, others: Others, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = dataclasses.replace(places, model_repository=str(tmp_path))
    adaptation: Adaptation = {
        **outcome.adapted_to.adaptation,
        "objections": ["accuracy of maps: 98% before, 90% after"],
    }
    adapted_to = dataclasses.replace(outcome.adapted_to, adaptation=adaptation)
    worse = dataclasses.replace(outcome, adapted_to=adapted_to)
    assert conclude(worse, others.split, places, anyway=False) is None
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert "against it: accuracy of maps: 98% before, 90% after" in said
    assert "no version was written; with --anyway it is" in said
    folder = conclude(worse, others.split, places, anyway=True)
    assert folder is not None
    assert json.loads((folder / "metadata.json").read_text())["adaptation"]["objections"] == adaptation["objections"]
    card = (folder / "MODEL_CARD.md").read_text()
    assert "in spite of what speaks against it" in card
    assert "- accuracy of maps: 98% before, 90% after" in card


def test_a_cascade_and_an_int8_form_cannot_be_trained_on() -> None:
    for model in ("mnist-cascade", "mnist-int8"):
        with pytest.raises(ExportError, match="name the float32 version"):
            StartVersion.read(committed(model))
    assert StartVersion.read(committed("mnist")).config.filters == (16, 64, 96)


def test_what_is_no_use_ends_the_command_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own").mkdir()
    for arguments, message in (
        ([str(tmp_path / "own")], "holds no labelled pictures"),
        ([str(tmp_path / "own"), "--start", str(tmp_path)], "is no model version that can be read"),
        ([str(tmp_path / "own"), "--model", "none"], "there is no version of none in models"),
        ([str(tmp_path / "own"), "--own-images", "0"], "own_images = 0 must be between 1 and 1024"),
    ):
        assert main(["adapt", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
