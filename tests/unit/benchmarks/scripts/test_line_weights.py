"""The fit of line decoding's weights: what the random field learns, and how likely it finds the truth."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scripts.line_weights import (
    NO_DIGIT,
    Candidates,
    Numbers,
    conditional_field,
    flow,
    outcomes,
    report,
    sample,
    truth,
    truth_flow,
)
from experiments.whole_numbers.pictures import Line, make
from serving.core.line_decoding import LINE_WEIGHTS, WEIGHTS, best_path, candidate_features
from serving.image.picture import Quality
from serving.image.segmentation.segmentation import Segmentation
from serving.models.column_network import ColumnNetwork
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from tests.support.examples import examples
from tests.support.segmentations import unread
from tests.support.whole_numbers import committed_handwriting

ROOT = Path(__file__).parents[4]
SPANS = np.array([[0, 1], [1, 2], [0, 2]], np.int32)  # two atoms, each alone and both together


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return ModelRepository(ROOT / "models", "mnist").load(0, lambda graph, _: OnnxSession(graph, "cpu", 1), 1)


def text_of(path: list[int], digits: Numbers) -> str:
    return "".join(str(digits[row]) for row in path if digits[row] != NO_DIGIT)


def toy_line(is_one_digit: bool, generator: np.random.Generator) -> Candidates:
    """Two atoms that are one digit where the second feature of the pair is positive; the first feature is noise."""
    features = np.zeros((3, 3))
    features[:, 0] = generator.normal(size=3)
    features[2, 1] = (1 if is_one_digit else -1) * generator.uniform(0.5, 1.5)
    features[:2, 2] = 1  # of single atoms
    return Candidates(features, SPANS, np.array([1, 2, 3]), "3" if is_one_digit else "12")


def test_the_field_learns_a_toy_problem() -> None:
    generator = np.random.default_rng(1)
    lines = [toy_line(bool(number % 2), generator) for number in range(200)]
    weights = conditional_field(lines[:100], np.array([1.0, 0.0, 0.5]))
    read = [text_of(best_path(line.spans, line.features @ weights)[0], line.digits) for line in lines[100:]]
    assert np.mean([text == line.text for text, line in zip(read, lines[100:], strict=True)]) > 0.95
    assert weights[1] > 2 * abs(weights[0])


def test_lines_that_no_path_reads_teach_nothing() -> None:
    generator = np.random.default_rng(1)
    lines = [toy_line(bool(number % 2), generator) for number in range(20)]
    unreadable = Candidates(np.eye(3), SPANS, np.array([1, 2, 3]), "9")
    start = np.array([1.0, 0.0, 0.5])
    assert conditional_field([*lines, unreadable], start).tolist() == conditional_field(lines, start).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@examples(60)
def test_flows_are_sums_over_all_paths(seed: int, atoms: int) -> None:
    generator = np.random.default_rng(seed)
    spans = np.array([(first, end) for first in range(atoms) for end in range(first + 1, atoms + 1)], np.int32)
    generator.shuffle(spans)
    row_of = {(int(first), int(end)): row for row, (first, end) in enumerate(spans)}
    scores, digits = generator.normal(size=len(spans)), generator.integers(NO_DIGIT, 2, len(spans))
    paths = []
    for cuts in range(2 ** (atoms - 1)):
        places = [0, *(place for place in range(1, atoms) if cuts >> (place - 1) & 1), atoms]
        paths.append([row_of[pair] for pair in pairwise(places)])
    text = text_of(paths[generator.integers(len(paths))], digits)
    wanted = truth_flow(Candidates(np.zeros((len(spans), 0)), spans, digits, text), scores)
    assert wanted is not None
    reading = [path for path in paths if text_of(path, digits) == text]
    for (total, shares), some in ((flow(spans, scores, [None] * len(spans), 0), paths), (wanted, reading)):
        likely = np.exp([scores[path].sum() for path in some])
        assert total == pytest.approx(np.log(likely.sum()))
        with_each = [
            sum(likely[number] for number, path in enumerate(some) if row in path) for row in range(len(spans))
        ]
        assert shares == pytest.approx(np.array(with_each) / likely.sum(), abs=1e-9)


def test_no_path_reads_another_text() -> None:
    line = Candidates(np.zeros((3, 0)), SPANS, np.array([1, 2, 3]), "9")
    assert truth_flow(line, np.zeros(3)) is None


def test_truth_of_lines_and_candidates_is_by_place() -> None:
    boxes = np.array([[0, 0, 10, 20], [20, 0, 10, 20], [0, 0, 30, 20], [0, 100, 10, 20], [90, 300, 10, 20]], np.int32)
    spans = np.array([[0, 0, 1], [0, 1, 2], [0, 0, 2], [1, 0, 1], [2, 0, 1]], np.int32)
    found = Segmentation(
        np.zeros((5, 784), np.uint8), boxes, spans, np.ones((5, 5), np.float32), unread(5), 0, 0, Quality(0)
    )
    lines = [Line("12", boxes[:2].astype(np.int64)), Line("3", boxes[3:4].astype(np.int64))]
    texts, is_digit = truth(found, np.array([1, 7, 1, 3, 4]), lines)
    assert texts == ["12", "3", ""]
    assert is_digit.tolist() == [True, False, False, True, False]


def test_a_picture_gives_the_features_that_serving_decodes_by(model: LoadedModel) -> None:
    made = sample("marks", make("marks", 0, "training", committed_handwriting()), model, ColumnNetwork())
    assert made is not None
    features = candidate_features(made.found, made.judged)
    assert list(features) == list(WEIGHTS)
    lines = made.found.spans[:, 0]
    as_digits_and_as_none = np.append(lines[made.judged.may_be_digit], lines)
    assert [len(line.features) for line in made.candidates()] == np.bincount(as_digits_and_as_none).tolist()
    values, is_right = outcomes([made], WEIGHTS)
    assert values.shape == (len(is_right), len(LINE_WEIGHTS))
    for line in made.candidates():
        is_no_digit = line.features[:, list(features).index("no digit")] == 1
        assert (is_no_digit == (line.digits == NO_DIGIT)).all()


def test_report_has_constants_as_python_reads_them_and_the_lines_of_pictures_kept_out(
    model: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["photo-touching", "marks"]
    pictures = [(kind, make(kind, seed, "training", committed_handwriting())) for seed in range(18) for kind in kinds]
    samples = [made for kind, picture in pictures if (made := sample(kind, picture, model, ColumnNetwork()))]
    report(samples[6:], samples[:6])
    constants, figures = capsys.readouterr().out.split("\n\n")
    assigned: dict[str, Any] = {}
    exec(constants, assigned)
    assert list(assigned["WEIGHTS"]) == list(WEIGHTS)
    assert len(assigned["LINE_WEIGHTS"]) == len(LINE_WEIGHTS)
    assert isinstance(assigned["CONSTANT"], float)
    _, *rows, error = figures.splitlines()
    assert [row.split()[:2] for row in rows] == [["photo-touching", "3"], ["marks", "3"], ["all", "6"]]
    assert error.startswith("ECE of a line's probability: 0.")
