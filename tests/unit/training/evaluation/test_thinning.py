import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.evaluation.thinning import paths, thinned


def _drawn(*rows: str) -> npt.NDArray[np.bool_]:
    return np.array([[mark == "#" for mark in row] for row in rows])


def test_a_thick_bar_becomes_a_line_of_one_pixel_and_nearly_its_length() -> None:
    mask = np.zeros((1, 40, 20), np.bool_)
    mask[0, 5:35, 6:13] = True
    skeleton = thinned(mask)[0]
    assert skeleton.sum(axis=1).max() == 1
    assert skeleton.sum() >= 20
    assert not (skeleton & ~mask[0]).any()


def test_a_ring_stays_a_ring() -> None:
    y, x = np.mgrid[0:40, 0:40]
    distance = np.hypot(y - 20, x - 20)
    skeleton = thinned(((distance > 8) & (distance < 15))[None])[0]
    assert ndimage.label(~skeleton)[1] == 2  # inside and outside stay apart
    assert distance[skeleton].min() > 9
    assert distance[skeleton].max() < 14
    assert skeleton.sum() < 2 * np.pi * 14


def test_stacked_strokes_do_not_touch_one_another() -> None:
    mask = np.zeros((1, 20, 20), np.bool_)
    mask[0, 4:16, 8:12] = True
    both = thinned(np.concatenate([mask, np.zeros_like(mask), mask]))
    assert np.array_equal(both[0], both[2])
    assert not both[1].any()
    assert np.array_equal(both[0], thinned(mask)[0])


def test_a_line_is_followed_from_end_to_end() -> None:
    assert paths(_drawn(".....", ".#...", "..#..", "...#.", "...#.", ".....")) == [[(1, 1), (2, 2), (3, 3), (4, 3)]]


def test_lines_that_meet_cover_every_pixel_and_stay_joined() -> None:
    cross = _drawn("..#..", "..#..", "#####", "..#..", "..#..")
    found = paths(cross)
    assert {pixel for path in found for pixel in path} == {
        (int(y), int(x)) for y, x in zip(*np.nonzero(cross), strict=True)
    }
    assert any(len(path) == 5 for path in found)  # straight on through the crossing


def test_a_single_pixel_is_a_line_of_one() -> None:
    assert paths(_drawn("...", ".#.", "...")) == [[(1, 1)]]
