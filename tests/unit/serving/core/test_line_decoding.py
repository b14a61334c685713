"""Lines out of candidates: the best path is the best of all paths, and what is said of it is in bounds."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.line_decoding import MOST_NOVEL, best_path, decoded_lines
from serving.image.picture import Quality
from serving.image.segmentation.segmentation import Segmentation
from serving.predictions import BatchPredictions, Predictions, Refusal
from tests.support.examples import examples
from tests.support.segmentations import unread

MOST_ATOMS = 7

Spans = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def lattice(atoms: int, share: float, rng: np.random.Generator) -> tuple[Spans, Scores]:
    """Each atom alone, and a share of the runs of two and more, in any order; some runs are there twice."""
    runs = [(first, last) for first in range(atoms) for last in range(first + 2, atoms + 1)]
    alone = [(atom, atom + 1) for atom in range(atoms)]
    chosen = alone + [run for run in runs if rng.random() < share] + [run for run in runs if rng.random() < share / 4]
    spans = np.array(chosen, np.int32)[rng.permutation(len(chosen))]
    return spans, rng.normal(0, 3, len(chosen))


def paths_of(spans: Spans, atoms: int, start: int = 0) -> Iterator[list[int]]:
    """Yields all paths from an atom to the end."""
    if start == atoms:
        yield []
        return
    for row in np.flatnonzero(spans[:, 0] == start).tolist():
        for rest in paths_of(spans, atoms, int(spans[row, 1])):
            yield [row, *rest]


@given(seeds, st.integers(1, MOST_ATOMS), st.floats(0, 1))
@examples(150)
def test_the_best_path_is_the_best_of_all_paths(seed: int, atoms: int, share: float) -> None:
    spans, scores = lattice(atoms, share, np.random.default_rng(seed))
    path, posterior = best_path(spans, scores)
    every = list(paths_of(spans, atoms))
    sums = [float(scores[each].sum()) for each in every]
    assert path == every[int(np.argmax(sums))]
    assert posterior == pytest.approx(max(sums) - np.log(np.exp(sums).sum()), abs=1e-9)
    assert posterior <= 0


@given(seeds, st.integers(1, 200), st.floats(0, 0.05))
@examples(20)
def test_a_path_covers_each_atom_once_in_reading_order(seed: int, atoms: int, share: float) -> None:
    spans, scores = lattice(atoms, share, np.random.default_rng(seed))
    path, _ = best_path(spans, scores)
    ends = spans[path].tolist()
    assert [first for first, _ in ends] == [0, *(last for _, last in ends[:-1])]
    assert ends[-1][1] == atoms


@given(st.integers(2, MOST_ATOMS))
@examples(6)
def test_the_only_path_is_certain(atoms: int) -> None:
    spans = np.array([(atom, atom + 1) for atom in range(atoms)], np.int32)
    assert best_path(spans, np.zeros(atoms)) == (list(range(atoms)), 0.0)


def random_reading(seed: int, lines: int, atoms: int, certainty: float) -> tuple[Segmentation, Predictions]:
    """Candidates of so many lines, and what a network might say of them: certain, uncertain, extreme."""
    rng = np.random.default_rng(seed)
    lattices = [lattice(atoms, 0.5, rng)[0] for _ in range(lines)]
    spans = np.concatenate([np.column_stack([np.full(len(each), line), each]) for line, each in enumerate(lattices)])
    count = len(spans)
    shapes = np.abs(rng.normal(0.7, 0.7, (count, 5))).astype(np.float32)
    boxes = rng.integers(1, 90, (count, 4)).astype(np.int32)
    boxes[:, 0] = np.arange(count)  # which tells them apart
    pixels = np.full((count, 784), 255, np.uint8)
    evidence = rng.dirichlet(np.full(11, 0.1), count)[:, :10].astype(np.float32)
    evidence[rng.random(count) < 0.3] = np.nan
    found = Segmentation(pixels, boxes, spans.astype(np.int32), shapes, evidence, 200, 200, Quality(0))
    logits = rng.normal(0, 1, (count, 10)) * certainty
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    novelties = rng.choice([0, 1, rng.random()], count).astype(np.float32)
    batch = BatchPredictions(probabilities, probabilities.argmax(axis=1), novelties)
    batch.refusals = rng.choice([Refusal.NONE, Refusal.NONE, Refusal.NOVEL], count).astype(np.uint8)
    return found, Predictions(batch, 0, count)


@given(seeds, st.integers(1, 3), st.integers(1, MOST_ATOMS), st.floats(0, 1000))
@examples(60)
def test_probabilities_are_in_0_to_1_and_texts_are_those_of_the_glyphs(
    seed: int, lines: int, atoms: int, certainty: float
) -> None:
    decoded = decoded_lines(*random_reading(seed, lines, atoms, certainty))
    assert len(decoded) == lines
    for line in decoded:
        assert 0 <= line.probability <= 1
        assert 1 <= len(line.glyphs) <= atoms
        assert line.text == "".join(str(glyph.digit) for glyph in line.glyphs if not glyph.refused)
        if not line.text:
            assert line.refused
            assert line.probability == 0


@given(seeds, st.integers(1, MOST_ATOMS), st.floats(0, 100))
@examples(60)
def test_what_is_very_novel_is_no_digit_unless_a_cut_may_have_made_it_so(
    seed: int, atoms: int, certainty: float
) -> None:
    found, predictions = random_reading(seed, 1, atoms, certainty)
    found.shapes[:, 3] = np.random.default_rng(seed).integers(0, 2, len(found.shapes))
    for glyph in decoded_lines(found, predictions)[0].glyphs:
        row = glyph.box[0]
        if not glyph.refused and predictions.refusals[row] != Refusal.NONE:
            assert found.shapes[row, 3] or predictions.novelties[row] <= MOST_NOVEL


@pytest.mark.parametrize("refusal", [Refusal.BLANK, Refusal.SEVERAL_GLYPHS])
def test_what_is_refused_for_another_reason_than_novelty_is_no_digit(refusal: Refusal) -> None:
    found, predictions = random_reading(1, 1, 3, 100)
    predictions.refusals[:] = refusal
    assert all(glyph.refused for glyph in decoded_lines(found, predictions)[0].glyphs)


def test_of_no_candidates_there_are_no_lines() -> None:
    found = Segmentation(
        np.zeros((0, 784), np.uint8),
        np.zeros((0, 4), np.int32),
        np.zeros((0, 3), np.int32),
        np.zeros((0, 5), np.float32),
        unread(0),
        9,
        9,
        Quality.BLANK,
    )
    nothing = BatchPredictions(np.zeros((0, 10), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert decoded_lines(found, Predictions(nothing, 0, 0)) == ()
