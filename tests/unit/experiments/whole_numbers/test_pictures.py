"""Pictures of whole numbers show what their truth says."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from experiments.whole_numbers.handwriting import SPLITS, Handwriting, splits_of
from experiments.whole_numbers.pictures import KINDS, Picture, make
from tests.support.whole_numbers import committed_handwriting
from training.data.arrays import LabelledDigits
from training.data.writers import load_writers
from training.synthetic.writing import EDGE, Hand, is_touching, random_text

HANDWRITING = committed_handwriting()
ONE_LINE = tuple(kind for kind in KINDS if kind not in ("lines-scan", "lines-photo", "a4-page", "sudoku"))


@cache
def pictures(kind: str) -> list[Picture]:
    seeds = range(2 if kind == "a4-page" else 8)  # a page takes a second
    return [make(kind, seed, "training", HANDWRITING) for seed in seeds]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_its_kind_seed_and_split_alone(kind: str) -> None:
    first, again = pictures(kind)[1], make(kind, 1, "training", HANDWRITING)
    assert np.array_equal(first.grey, again.grey)
    assert [line.text for line in first.lines] == [line.text for line in again.lines]
    for other in (pictures(kind)[0], make(kind, 1, "validation", HANDWRITING)):
        assert first.grey.shape != other.grey.shape or not np.array_equal(first.grey, other.grey)


@pytest.mark.parametrize("kind", KINDS)
def test_each_digit_has_a_box_inside_the_picture_and_boxes_go_to_the_right(kind: str) -> None:
    for picture in pictures(kind):
        height, width = picture.grey.shape
        assert picture.grey.dtype == np.uint8
        for line in picture.lines:
            assert line.text.isdecimal()
            assert line.boxes.shape == (len(line.text), 4)
            x, y, box_width, box_height = line.boxes.T
            assert (x >= 0).all()
            assert (y >= 0).all()
            assert (x + box_width <= width).all()
            assert (y + box_height <= height).all()
            assert (np.diff(x + box_width / 2) > 0).all()


@pytest.mark.parametrize("kind", ["canvas-spaced", "canvas-touching"])
def test_boxes_hold_all_of_the_ink_and_are_tight(kind: str) -> None:
    for picture in pictures(kind):
        ink = picture.grey >= np.ceil(255 * EDGE)
        outside = ink.copy()
        for x, y, width, height in picture.lines[0].boxes:
            outside[y : y + height, x : x + width] = False
            part = ink[y : y + height, x : x + width]
            assert part[0].any()
            assert part[-1].any()
            assert part[:, 0].any()
            assert part[:, -1].any()
        assert not outside.any()


def test_digits_that_are_spaced_share_no_piece_of_ink() -> None:
    for picture in pictures("canvas-spaced"):
        assert picture.touching == 0
        pieces, _ = ndimage.label(picture.grey >= np.ceil(255 * EDGE), np.ones((3, 3)))
        x, y, width, height = picture.lines[0].boxes.T
        for rows, columns in ndimage.find_objects(pieces):
            inside = (x <= columns.start) & (columns.stop <= x + width) & (y <= rows.start) & (rows.stop <= y + height)
            assert inside.any()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "touching" not in kind])
def test_nothing_touches_where_the_kind_does_not_say_so(kind: str) -> None:
    assert all(picture.touching == 0 for picture in pictures(kind))


@pytest.mark.parametrize("share", [0, 0.5, 1])
@pytest.mark.parametrize("degrees", [-8, 0, 8])
def test_as_many_neighbours_touch_as_a_hand_is_given(share: float, degrees: float) -> None:
    generator = np.random.default_rng(1)
    digits = HANDWRITING.random_writer("training", generator)
    hand = Hand(digits, 30, degrees=degrees, touching=share)
    lines = [hand.line(random_text(digits, 10, generator), generator) for _ in range(12)]
    touching = [is_touching(one, other) for line in lines for one, other in pairwise(line)]
    assert abs(np.mean(touching) - share) <= (0.15 if share == 0.5 else 0.05 if share else 0)


def test_lines_have_two_to_ten_digits_of_sizes_that_people_write() -> None:
    for kind in ONE_LINE:
        for picture in pictures(kind):
            (line,) = picture.lines
            assert 2 <= len(line.text) <= 10
            highest = line.boxes[:, 3].max()
            assert (7 if kind == "low-resolution" else 16) <= highest <= 115


def test_pages_and_grids_have_their_lines_one_below_the_other() -> None:
    for picture in pictures("lines-scan"):
        assert 3 <= len(picture.lines) <= 12
    page = pictures("a4-page")[0]
    assert page.grey.shape == (1754, 1240)
    assert 96 <= sum(len(line.text) for line in page.lines) <= 105
    grid = pictures("sudoku")[0]
    assert len(grid.lines) <= 9
    assert all(1 <= len(line.text) <= 9 and "0" not in line.text for line in grid.lines)
    for picture in (page, grid):
        middles = [float(np.mean(line.boxes[:, 1] + line.boxes[:, 3] / 2)) for line in picture.lines]
        assert middles == sorted(middles)


def test_marks_are_recorded_and_are_no_part_of_the_text() -> None:
    assert all(1 <= len(picture.non_digits) <= 3 for picture in pictures("marks"))
    assert not any(len(picture.non_digits) for kind in ("scan-spaced", "boxes") for picture in pictures(kind))


def test_a_picture_shows_writers_of_its_split_alone() -> None:
    rows = 20
    labels = np.repeat(np.arange(len(SPLITS)), rows)  # the writers of each split have one digit of their own
    pixels = HANDWRITING.digits.pixels[[int(np.flatnonzero(HANDWRITING.digits.labels == each)[0]) for each in labels]]
    handwriting = Handwriting(LabelledDigits(pixels, labels), labels.astype(np.uint16), labels)
    for place, split in enumerate(SPLITS):
        for seed in range(12):
            assert set(make("scan-spaced", seed, split, handwriting).lines[0].text) == {str(place)}


def test_no_writer_of_mnist_is_in_two_splits() -> None:
    writer = load_writers().writer
    held_out = np.unique(writer[:-10_000])[::12]
    splits = splits_of(writer, held_out)
    writers = [set(writer[splits == place]) for place in range(len(SPLITS))]
    assert sum(len(each) for each in writers) == len(set(writer)) == len(set.union(*writers))
    assert writers[SPLITS.index("validation")] == set(held_out)
    assert (splits[-10_000:] == SPLITS.index("test")).all()
    assert not (splits[:-10_000] == SPLITS.index("test")).any()
