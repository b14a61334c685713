"""The fit of line decoding's weights: what the perceptron learns, and which path it learns from."""

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
    best_reading,
    outcomes,
    perceptron,
    report,
    sample,
    truth,
)
from experiments.whole_numbers.pictures import Line, make
from serving.core.line_decoding import LINE_WEIGHTS, WEIGHTS, best_path, candidate_features
from serving.image.picture import Quality
from serving.image.segmentation.segmentation import Segmentation
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
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


def test_perceptron_learns_a_toy_problem() -> None:
    generator = np.random.default_rng(1)
    lines = [toy_line(bool(number % 2), generator) for number in range(200)]
    weights = perceptron(lines[:100], np.array([1.0, 0.0, 0.5]))
    read = [text_of(best_path(line.spans, line.features @ weights)[0], line.digits) for line in lines[100:]]
    assert np.mean([text == line.text for text, line in zip(read, lines[100:], strict=True)]) > 0.95
    assert weights[1] > 2 * abs(weights[0])


def test_perceptron_leaves_weights_that_read_all_or_that_cannot() -> None:
    right = Candidates(np.eye(3), SPANS, np.array([1, 2, 3]), "12")
    start = np.array([1.0, 1.0, 0.0])
    assert perceptron([right], start) == pytest.approx(start)
    unreadable = Candidates(np.eye(3), SPANS, np.array([1, 2, 3]), "9")
    assert perceptron([right, unreadable], start) == pytest.approx(start)


def test_best_reading_passes_what_is_no_digit_and_takes_the_better_of_two_paths() -> None:
    scores, digits = np.array([1.0, 2.0, 9.0]), np.array([7, NO_DIGIT, 7])
    assert best_reading(SPANS, scores, digits, "7") == [2]
    assert best_reading(SPANS, -scores, digits, "7") == [0, 1]
    assert best_reading(SPANS, scores, digits, "77") is None
    assert best_reading(SPANS, scores, digits, "") is None
    assert best_reading(SPANS, scores, np.array([NO_DIGIT, NO_DIGIT, 7]), "") == [0, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_best_reading_is_the_best_of_all_paths_that_read_the_text(seed: int, atoms: int) -> None:
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
    best = max((path for path in paths if text_of(path, digits) == text), key=lambda path: scores[path].sum())
    assert best_reading(spans, scores, digits, text) == best


def test_truth_of_lines_and_candidates_is_by_place() -> None:
    boxes = np.array([[0, 0, 10, 20], [20, 0, 10, 20], [0, 0, 30, 20], [0, 100, 10, 20], [90, 300, 10, 20]], np.int32)
    spans = np.array([[0, 0, 1], [0, 1, 2], [0, 0, 2], [1, 0, 1], [2, 0, 1]], np.int32)
    found = Segmentation(np.zeros((5, 784), np.uint8), boxes, spans, np.ones((5, 5), np.float32), 0, 0, Quality(0))
    lines = [Line("12", boxes[:2].astype(np.int64)), Line("3", boxes[3:4].astype(np.int64))]
    texts, is_digit = truth(found, np.array([1, 7, 1, 3, 4]), lines)
    assert texts == ["12", "3", ""]
    assert is_digit.tolist() == [True, False, False, True, False]


def test_a_picture_gives_the_features_that_serving_decodes_by(model: LoadedModel) -> None:
    made = sample("marks", make("marks", 0, "development", committed_handwriting()), model)
    assert made is not None
    features = candidate_features(made.found, made.predictions)
    assert list(features) == list(WEIGHTS)
    assert [len(line.features) for line in made.candidates()] == np.bincount(made.found.spans[:, 0]).tolist()
    values, is_right = outcomes([made], WEIGHTS)
    assert values.shape == (len(is_right), 4)
    for line in made.candidates():
        is_no_digit = line.features[:, list(features).index("no digit")] == 1
        assert (is_no_digit == (line.digits == NO_DIGIT)).all()


def test_report_has_constants_as_python_reads_them_and_the_lines_of_pictures_kept_out(
    model: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["canvas-touching", "marks"]
    pictures = [(kind, make(kind, seed, "development", committed_handwriting())) for seed in range(9) for kind in kinds]
    samples = [made for kind, picture in pictures if (made := sample(kind, picture, model))]
    report(samples[:12], samples[12:])
    constants, figures = capsys.readouterr().out.split("\n\n")
    assigned: dict[str, Any] = {}
    exec(constants, assigned)
    assert list(assigned["WEIGHTS"]) == list(WEIGHTS)
    assert len(assigned["LINE_WEIGHTS"]) == len(LINE_WEIGHTS)
    assert isinstance(assigned["CONSTANT"], float)
    _, *rows, error = figures.splitlines()
    assert [row.split()[:2] for row in rows] == [["canvas-touching", "3"], ["marks", "3"], ["all", "6"]]
    assert error.startswith("ECE of a line's probability: 0.")
