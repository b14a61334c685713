"""The report on a tiny model and small sets: its figures are those of the artefact, and it notices a wrong card."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.integration.training.conftest import TINY
from training.arrays import LabelledDigits
from training.errors import ExportError, RunError
from training.evaluation import judge
from training.evaluation_sets import EvaluationSet
from training.export import FinishedRun, export_run
from training.git_state import GitState
from training.mnist_files import Mnist
from training.model_card import model_card
from training.report.artefact import Artefact, highest_versions
from training.report.measuring import differences, ece_by_chance, measure
from training.report.plots import draw_corruptions, draw_frontier, draw_refusal, draw_sheet
from training.report.report_data import ReportData
from training.report.report_text import report_text
from training.report.seeds import seed_figures
from training.report.strangeness import SHIPPED, FeatureDistance, auroc, scores
from training.run_folder import RunFolder, RunRecord


@pytest.fixture(scope="module")
def data(digits: LabelledDigits) -> ReportData:
    """Small sets; the corruption is a shift by one row, the non-digits are noise."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 784), np.uint8)
    sets = (EvaluationSet("noise", noise, None), EvaluationSet("others", digits.pixels, digits.labels))
    corrupted = {"shifted": np.roll(digits.pixels, 28, axis=1)}
    return ReportData(digits, digits, digits, corrupted, sets, {"stand-in": digits}, {"fashion": "no apt"})


@pytest.fixture(scope="module")
def artefact(finished_run: RunFolder, small_mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The tiny run, exported."""
    weights = finished_run.read_weights()
    evaluation = judge(TINY, weights, small_mnist).evaluation
    record = RunRecord(TINY, GitState("a" * 40, dirty=False), {"keras": "3"}, "a processor", "today")
    repository = tmp_path_factory.mktemp("models")
    for _ in range(2):
        export_run(FinishedRun(record, weights, evaluation, seconds=1.5), small_mnist, repository, "mnist")
    (only,) = highest_versions(repository)
    return only


def test_the_highest_version_is_read(artefact: Artefact, tmp_path: Path) -> None:
    assert (artefact.name, artefact.folder.name) == ("mnist", "2")
    with pytest.raises(ExportError, match="there is no model version in"):
        highest_versions(tmp_path)


def test_inner_values_are_those_that_make_the_answer(artefact: Artefact, digits: LabelledDigits) -> None:
    reading = artefact.read(digits.pixels)
    assert reading.hidden.shape == (400, TINY.dense_units)
    np.testing.assert_array_equal(np.argmax(reading.logits, axis=1), np.argmax(reading.probabilities, axis=1))
    assert reading.hidden.min() == 0  # behind the ReLU


def test_figures_are_counted_from_the_answers(artefact: Artefact, data: ReportData, digits: LabelledDigits) -> None:
    figures = measure(artefact, data)
    answers = artefact.answers(digits)
    assert figures["other_sets"]["digits"]["others"]["accuracy"] == np.mean(answers.digit == digits.labels)
    noise = figures["other_sets"]["refusal"]["noise"]
    assert noise["images"] == 50
    assert set(noise["auroc"]) == {SHIPPED, "1 - max softmax", "energy", "feature distance"}
    shifted = artefact.read(data.corrupted_test["shifted"])
    right = float(np.mean(np.argmax(shifted.probabilities, axis=1) == digits.labels))
    assert figures["other_sets"]["corruptions"] == {"shifted": right}
    assert figures["other_sets"]["corruptions_mean"] == right


def test_a_card_that_says_something_else_is_noticed(artefact: Artefact, small_mnist: Mnist, data: ReportData) -> None:
    # The tiny run was judged on its own split; here both parts of MNIST are the same digits.
    figures = measure(artefact, data)
    figures["metrics"]["mnist_validation"] = artefact.metadata["metrics"]["mnist_validation"]
    assert differences(artefact, figures) == []
    figures["metrics"]["mnist_test"]["accuracy"] += 0.01
    assert ["mnist_test.accuracy" in line for line in differences(artefact, figures)] == [True]
    assert len(small_mnist.test) == 400


def test_chance_alone_gives_an_error_of_calibration(artefact: Artefact, digits: LabelledDigits) -> None:
    assert 0 < ece_by_chance(artefact.answers(digits)) < 0.2


def test_auroc_counts_pairs_and_half_of_ties() -> None:
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)


def test_feature_distance_is_small_for_the_rows_it_was_fitted_on() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 30)
    hidden = (np.eye(10)[labels] * 20 + generator.normal(0, 1, (300, 10))).astype(np.float32)
    distance = FeatureDistance.fit(hidden, labels)
    assert np.median(distance(hidden)) == pytest.approx(10, rel=0.2)  # a chi-square of ten degrees of freedom
    assert distance(np.full((1, 10), 20, np.float32))[0] > 100


def test_the_text_names_every_figure_and_what_is_missing(artefact: Artefact, data: ReportData) -> None:
    text = report_text([measure(artefact, data)], {}, data.missing, "today")
    for part in ("noise (50)", "shifted", "others (400)", "stand-in (400)", "fashion: no apt", "AUROC: energy"):
        assert part in text


def test_pictures_are_drawn(artefact: Artefact, data: ReportData, digits: LabelledDigits) -> None:
    figures = measure(artefact, data)
    distance = FeatureDistance.fit(artefact.read(digits.pixels).hidden, digits.labels)
    strange = scores(artefact.read(digits.pixels), distance)
    captions = [str(label) for label in digits.labels[:20]]
    drawn = [Figure() for _ in range(5)]
    draw_frontier(drawn[0], [figures], {})
    draw_corruptions(drawn[1], [figures])
    draw_refusal(drawn[2], strange, {"the same": strange})
    draw_sheet(drawn[3], "digits", digits.pixels[:20], captions)
    draw_sheet(drawn[4], "none", digits.pixels[:0], [])
    for figure in drawn:
        buffer = io.BytesIO()
        figure.savefig(buffer)
        assert buffer.getvalue().startswith(b"\x89PNG")


def test_a_card_with_other_sets_shows_them(artefact: Artefact, data: ReportData) -> None:
    metadata = json.loads((artefact.folder / "metadata.json").read_text())
    assert "corruptions" not in model_card(metadata)
    metadata["other_sets"] = measure(artefact, data)["other_sets"]
    card = model_card(metadata)
    assert "noise" in card
    assert "fifteen corruptions" in card


def test_runs_that_differ_in_their_seeds_are_one_recipe(
    finished_run: RunFolder, small_mnist: Mnist, tmp_path: Path
) -> None:
    evaluation = judge(TINY, finished_run.read_weights(), small_mnist).evaluation
    for name, changes in (("tiny-1", {}), ("tiny-2", {"seed": 2})):
        folder = RunFolder(tmp_path / name)
        record = json.loads((finished_run.path / "run.json").read_text())
        folder.write_json("run.json", record | {"config": record["config"] | changes})
        folder.write_weights(finished_run.read_weights())
        folder.write_json("metrics.json", evaluation)
    seeds = seed_figures(tmp_path)
    assert seeds["tiny"]["runs"] == ["tiny-1", "tiny-2"]
    assert len(seeds["tiny"]["test_accuracy"]) == 2
    folder.write_json("run.json", record | {"config": record["config"] | {"epochs": 9}})
    with pytest.raises(RunError, match="differ in more than their seeds"):
        seed_figures(tmp_path)
