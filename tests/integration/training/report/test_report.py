"""The report on a tiny model and small sets: its figures are those of the artefact, and it notices a wrong card."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from matplotlib.figure import Figure

from tests.support.tiny_training import REPOSITORY, TINY
from training.cli import main
from training.config import FORMER_SETTINGS
from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist
from training.data.split import Split
from training.errors import ExportError, RunError
from training.evaluation.evaluation_sets import EvaluationSet
from training.export.model_card import model_card
from training.export.model_version import FinishedRun, export_run
from training.fit.run_folder import RunFolder
from training.report.artefact import Artefact, highest_versions
from training.report.comparison import differences
from training.report.evaluation_data import EvaluationData
from training.report.gallery import draw_gallery
from training.report.measurement import (
    Measurement,
    ece_by_chance,
    measure,
    mnist_figures,
    other_handwriting_figures,
)
from training.report.novelty_scores import SHIPPED, FeatureDistance, auroc
from training.report.plots import draw_sheet
from training.report.refusal import NonDigits, Refusal
from training.report.report_text import other_handwriting_text, report_text
from training.report.seeds import seed_figures


@pytest.fixture(scope="module")
def data(digits: LabelledDigits) -> EvaluationData:
    """Small sets; the corruption is a shift by one row, the non-digits are noise."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 784), np.uint8)
    sets = (EvaluationSet("noise", noise, None), EvaluationSet("others", digits.pixels, digits.labels))
    corrupted = {"shifted": np.roll(digits.pixels, 28, axis=1)}
    return EvaluationData(digits, digits, digits, corrupted, sets, {"stand-in": digits}, {"fashion": "no apt"})


@pytest.fixture(scope="module")
def artefact(evaluated_run: FinishedRun, small_split: Split, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The tiny run, exported."""
    repository = tmp_path_factory.mktemp("models")
    for _ in range(2):
        export_run(evaluated_run, small_split, repository, "mnist")
    (only,) = highest_versions(repository)
    return only


@pytest.fixture(scope="module")
def measured(artefact: Artefact, data: EvaluationData) -> Measurement:
    return measure(artefact, data)


def test_the_highest_version_is_read(artefact: Artefact, tmp_path: Path) -> None:
    assert (artefact.name, artefact.folder.name) == ("mnist", "2")
    with pytest.raises(ExportError, match="there is no model version in"):
        highest_versions(tmp_path)


def test_inner_values_are_those_behind_the_prediction(artefact: Artefact, digits: LabelledDigits) -> None:
    reading = artefact.outputs(digits.pixels)
    assert reading.hidden.shape == (400, TINY.dense_units)
    np.testing.assert_array_equal(np.argmax(reading.logits, axis=1), np.argmax(reading.probabilities, axis=1))
    assert reading.hidden.min() == 0  # behind the ReLU


def test_a_graph_without_inner_values_is_refused_by_name(artefact: Artefact, tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_bytes((artefact.folder / "metadata.json").read_bytes())
    graph = onnx.load(artefact.folder / "model.onnx")
    del graph.graph.node[-4:]
    for node in graph.graph.node:
        node.output[:] = [name.replace("hidden", "veiled") for name in node.output]
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ExportError, match="has no values named logits and hidden"):
        Artefact.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match="is no model version that can be read"):
        Artefact.load(tmp_path)


def test_figures_are_counted_from_the_predictions(
    artefact: Artefact, measured: Measurement, data: EvaluationData, digits: LabelledDigits
) -> None:
    other_sets = measured.figures["other_sets"]
    answers = artefact.predict(digits)
    assert other_sets["digits"]["others"]["accuracy"] == np.mean(answers.digit == digits.labels)
    noise = other_sets["refusal"]["noise"]
    assert noise["images"] == 50
    assert noise["refused"] == np.mean(measured.refusal.others["noise"].scores[SHIPPED] > artefact.threshold)
    assert set(noise["auroc"]) == {SHIPPED, "1 - max softmax", "energy", "feature distance"}
    shifted = artefact.outputs(data.corrupted_test["shifted"])
    right = float(np.mean(np.argmax(shifted.probabilities, axis=1) == digits.labels))
    assert other_sets["corruptions"] == {"shifted": right}
    assert other_sets["corruptions_mean"] == right


def test_models_are_compared_where_they_refuse_as_many_digits() -> None:
    found = NonDigits(np.zeros((4, 784), np.uint8), np.zeros(4, np.int64), {SHIPPED: np.array([996, 996.5, 997, 2000])})
    digits = np.random.default_rng(0).permutation(1000).astype(np.float64)  # three of them are above 996
    figures = Refusal(0.5, {SHIPPED: digits}, {"letters": found}).figures()["letters"]
    assert (figures["refused"], figures["refused_at_equal_share"]) == (1, 0.75)


def test_other_handwriting_is_read_or_refused_and_letters_have_no_accuracy(
    artefact: Artefact, data: EvaluationData, digits: LabelledDigits
) -> None:
    figures = other_handwriting_figures(artefact, data.evaluation_sets)
    predictions = artefact.predict(digits)
    assert figures["others"] == {
        "images": len(digits),
        "accuracy": np.mean(predictions.digit == digits.labels),
        "refused": np.mean(predictions.novelty > artefact.threshold),
    }
    assert figures["noise"]["accuracy"] is None
    lines = other_handwriting_text({"mnist 2": figures}).splitlines()
    assert lines[2].startswith("| mnist 2 | noise (50) |  | ")
    assert lines[3] == (
        f"| mnist 2 | others (400) | {figures['others']['accuracy']:.2%} | {figures['others']['refused']:.2%} |"
    )


def test_a_card_that_says_something_else_is_noticed(artefact: Artefact, small_mnist: Mnist) -> None:
    figures = mnist_figures(artefact, artefact.split(small_mnist).validation, small_mnist.test)
    assert differences(artefact.metadata, figures) == []
    figures["metrics"]["mnist_test"]["accuracy"] += 1e-5
    assert ["mnist_test.accuracy is" in line for line in differences(artefact.metadata, figures)] == [True]
    figures["metrics"]["mnist_test"]["accuracy"] = float("nan")
    assert len(differences(artefact.metadata, figures)) == 1


def test_a_version_that_does_not_say_how_rows_were_split_was_split_by_rows(
    artefact: Artefact, small_mnist: Mnist, small_split: Split
) -> None:
    training = {name: value for name, value in artefact.metadata["training"].items() if name not in FORMER_SETTINGS}
    former = dataclasses.replace(artefact, metadata={**artefact.metadata, "training": training})
    np.testing.assert_array_equal(former.split(small_mnist).validation.pixels, small_split.validation.pixels)


def test_a_figure_that_the_card_has_not_is_noticed(artefact: Artefact, measured: Measurement) -> None:
    recorded = json.loads(json.dumps({**artefact.metadata, "metrics": measured.figures["metrics"]}))
    recorded["other_sets"] = json.loads(json.dumps(measured.figures["other_sets"]))
    assert differences(recorded, measured.figures) == []
    recorded["other_sets"]["corruptions_mean"] += 0.01
    del recorded["metrics"]["mnist_test"]["brier"]
    first, second = differences(recorded, measured.figures)
    assert "mnist_test.brier is not in metadata.json" in first
    assert "other_sets.corruptions_mean" in second


def test_rounding_may_move_one_image_over_the_threshold_and_no_more(artefact: Artefact, small_mnist: Mnist) -> None:
    figures = mnist_figures(artefact, artefact.split(small_mnist).validation, small_mnist.test)
    refused = figures["metrics"]["mnist_test"]["refused"]
    figures["metrics"]["mnist_test"]["refused"] = refused + 1 / 400
    assert differences(artefact.metadata, figures) == []
    figures["metrics"]["mnist_test"]["refused"] = refused + 2 / 400
    assert len(differences(artefact.metadata, figures)) == 1


def test_chance_alone_gives_an_error_of_calibration(artefact: Artefact, digits: LabelledDigits) -> None:
    assert 0 < ece_by_chance(artefact.predict(digits)) < 0.2


def test_auroc_counts_pairs_and_half_of_ties() -> None:
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)


def test_feature_distance_is_small_for_the_rows_it_was_fitted_on() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 30)
    hidden = (np.eye(10)[labels] * 20 + generator.normal(0, 1, (300, 10))).astype(np.float32)
    distance = FeatureDistance.fit(hidden, labels)
    assert np.median(distance(hidden)) == pytest.approx(10, rel=0.2)  # a chi-square of ten degrees of freedom
    assert distance(np.full((1, 10), 20, np.float32))[0] > 100


def test_the_text_names_every_figure_and_what_is_missing(measured: Measurement, data: EvaluationData) -> None:
    text = report_text([measured.figures], {}, data.missing, "today")
    parts = (
        "noise (50)",
        "shifted",
        "others (400)",
        "stand-in (400)",
        "fashion: no apt",
        "AUROC: energy",
        "Mahalanobis",
    )
    for part in parts:
        assert part in text


def test_every_picture_is_drawn_and_always_the_same(measured: Measurement, tmp_path: Path) -> None:
    drawn = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        draw_gallery(tmp_path / name, [measured], {})
        drawn.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert sorted(drawn[0]) == [
        "corruptions.png",
        "frontier.png",
        "mnist-accepted-noise.png",
        "mnist-mistakes.png",
        "mnist-refusal.png",
        "mnist-refused-digits.png",
        "mnist-reliability.png",
    ]
    assert all(content.startswith(b"\x89PNG") for content in drawn[0].values())
    assert drawn[0] == drawn[1]


def test_a_sheet_of_nothing_is_empty_paper(digits: LabelledDigits) -> None:
    figure = Figure()
    draw_sheet(figure, "none", digits.pixels[:0], [])
    assert not any(axes.images for axes in figure.axes)


def test_a_card_with_other_sets_shows_them(artefact: Artefact, measured: Measurement) -> None:
    metadata = json.loads((artefact.folder / "metadata.json").read_text())
    assert "corruptions" not in model_card(metadata)
    metadata["other_sets"] = measured.figures["other_sets"]
    card = model_card(metadata)
    assert "noise" in card
    assert "fifteen corruptions" in card


def test_runs_that_differ_in_their_seeds_are_one_recipe(
    finished_run: RunFolder, evaluated_run: FinishedRun, tmp_path: Path
) -> None:
    for name, changes in (("tiny-1", {}), ("tiny-2", {"seed": 2})):
        folder = RunFolder(tmp_path / name)
        record = json.loads((finished_run.path / "run.json").read_text())
        folder.write_json("run.json", record | {"config": record["config"] | changes})
        folder.write_weights(finished_run.read_weights())
        folder.write_json("metrics.json", evaluated_run.evaluation)
    seeds = seed_figures(tmp_path)
    assert seeds["tiny"]["runs"] == ["tiny-1", "tiny-2"]
    assert len(seeds["tiny"]["test_accuracy"]) == 2
    folder.write_json("run.json", record | {"config": record["config"] | {"epochs": 9}})
    with pytest.raises(RunError, match="differ in more than their seeds"):
        seed_figures(tmp_path)


def test_check_passes_the_committed_card_and_finds_a_wrong_one(
    mnist: Mnist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(mnist.test) == 10_000  # in the cache now, where the command finds it
    shutil.copytree(REPOSITORY / "models" / "mnist", tmp_path / "mnist")
    command = ["report", "--check", "--model-repository", str(tmp_path)]
    assert main(command) == 0
    (path,) = (tmp_path / "mnist").glob("*/metadata.json")
    metadata = json.loads(path.read_text())
    metadata["metrics"]["mnist_test"]["nll"] += 1e-4
    path.write_text(json.dumps(metadata))
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "mnist_test.nll is" in error
    assert "accuracy" not in error
