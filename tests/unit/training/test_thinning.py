import numpy as np
import numpy.typing as npt
import pytest

from training.thinning import paths, thinned


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
    ring = max(paths(skeleton), key=len)
    assert len(ring) > 0.8 * skeleton.sum()  # what is left are the corners of stairs
    assert max(abs(ring[0][0] - ring[-1][0]), abs(ring[0][1] - ring[-1][1])) <= 2
    assert np.hypot(*(np.array(ring) - 20).T).mean() == pytest.approx(11.5, abs=1)


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
