"""Touching digits: what is drawn, and which candidates are examples."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from training.data.arrays import NOT_A_DIGIT, LabelledDigits
from training.data.preprocessing import Candidates, preprocess_pictures, segment_pictures
from training.synthetic.touching import AMBIGUOUS, PICTURE, TouchingDigits, cut_out, draw, labels_of

with np.load(Path(__file__).parents[3] / "data" / "digits.npz", allow_pickle=False) as _file:
    DIGITS = LabelledDigits(_file["pixels"], _file["label"])


def _drawn(count: int) -> list[TouchingDigits]:
    generator = np.random.default_rng(7)
    return [draw(DIGITS, generator) for _ in range(count)]


def test_neighbours_touch_and_every_run_of_them_has_its_box() -> None:
    counts = set()
    for drawn in _drawn(60):
        assert drawn.picture.shape == PICTURE
        whole = max(drawn.runs, key=lambda run: run.box[2] - run.box[0])
        singles = [run for run in drawn.runs if run.label != NOT_A_DIGIT]
        counts.add((len(singles), len(drawn.runs)))
        ink = 255 - np.minimum.reduce([run.alone for run in singles])
        np.testing.assert_array_equal(ink, 255 - whole.alone)
        assert whole.label == NOT_A_DIGIT
        strong = np.stack([run.alone for run in singles]) <= 255 - 0.3 * 255
        for place in range(1, len(singles)):
            before = ndimage.binary_dilation(strong[:place].any(axis=0), np.ones((3, 3)))
            assert (before & strong[place]).any()
        for run in drawn.runs:
            left, top, right, bottom = run.box
            inked = run.alone <= 255 - 0.31 * 255
            assert inked[top:bottom, left:right].sum() == inked.sum()
    assert counts == {(2, 3), (3, 6)}


def _candidates(drawn: list[TouchingDigits]) -> tuple[Candidates, Candidates]:
    """Each run of these pictures as a candidate that is cut without a fault, and with half of its ink gone."""
    runs = [(place, run) for place, each in enumerate(drawn) for run in each.runs]
    pixels = preprocess_pictures({"runs": np.stack([run.alone for _, run in runs])})["runs"].pixels
    boxes = np.array([(x, y, right - x, bottom - y) for _, run in runs for x, y, right, bottom in [run.box]], np.int32)
    pictures = np.array([place for place, _ in runs])
    halved = pixels.reshape(-1, 28, 28).copy()
    halved[:, 14:] = 0
    return Candidates(pixels, boxes, pictures), Candidates(halved.reshape(-1, 784), boxes, pictures)


def test_a_candidate_is_an_example_where_box_and_ink_are_a_runs() -> None:
    drawn = _drawn(30)
    whole, halved = _candidates(drawn)
    labels = labels_of(whole, drawn, whole.pixels)
    expected = np.array([run.label for each in drawn for run in each.runs])
    assert np.mean(labels == expected) > 0.95  # some lie within one another
    assert (labels[labels != AMBIGUOUS] == expected[labels != AMBIGUOUS]).all()
    assert (labels_of(halved, drawn, whole.pixels) == AMBIGUOUS).all()
    narrow = Candidates(whole.pixels, whole.boxes // np.array([1, 1, 2, 1], np.int32), whole.pictures)
    assert (labels_of(narrow, drawn, whole.pixels)[expected == NOT_A_DIGIT] != NOT_A_DIGIT).all()


def test_each_run_is_an_example_once() -> None:
    drawn = _drawn(5)
    whole, _ = _candidates(drawn)
    rows = np.repeat(np.arange(len(whole.pictures)), 2)
    twice = Candidates(whole.pixels[rows], whole.boxes[rows], whole.pictures[rows])
    once = labels_of(whole, drawn, whole.pixels)
    assert sorted(labels_of(twice, drawn, whole.pixels)) == sorted([*once, *[AMBIGUOUS] * len(once)])


def test_the_servers_segmentation_gives_digits_and_non_digits() -> None:
    found = cut_out(_drawn(40), preprocess_pictures, segment_pictures)
    assert found.pixels.any(axis=1).all()
    assert set(found.labels) <= {NOT_A_DIGIT, *range(10)}
    assert (found.labels >= 0).sum() > 15
    assert (found.labels == NOT_A_DIGIT).sum() > 15


def test_parts_of_digits_are_in_no_set() -> None:
    """What is cut out must be a digit that was drawn, and none other."""
    drawn = _drawn(4)
    for each in drawn:
        labels = {run.label for run in each.runs}
        assert set(cut_out([each], preprocess_pictures, segment_pictures).labels) <= labels


@pytest.mark.parametrize("count", [1, 3])
def test_candidates_come_with_their_pictures(count: int) -> None:
    pictures = np.stack([each.picture for each in _drawn(count)])
    found = segment_pictures(pictures)
    assert set(found.pictures) == set(range(count))
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, :2] + found.boxes[:, 2:] <= [PICTURE[1], PICTURE[0]]).all()
