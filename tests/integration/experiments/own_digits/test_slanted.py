"""The slanted handwriting is the same on every call, slanted, and given in folders by writer."""

from pathlib import Path

import numpy as np
import pytest

from experiments.own_digits.__main__ import main
from experiments.own_digits.command import write_pictures
from experiments.own_digits.slanted import LEARNED, WRITERS, slanted_digits
from tests.support.committed_models import committed, version_name
from training.data.other_handwriting.pen_digits import PenDigits, load_pen_digits


def _few() -> PenDigits:
    """Six digits of each of the five blocks of rows."""
    held_out = load_pen_digits().split()[1]
    rows = np.arange(30) * len(held_out.labels) // 30
    return PenDigits(held_out.points[rows], held_out.labels[rows])


def test_pictures_are_the_same_on_every_call_and_of_five_writers() -> None:
    one, other = list(slanted_digits(_few())), list(slanted_digits(_few()))
    assert all((a.picture == b.picture).all() and a.digit == b.digit for a, b in zip(one, other, strict=True))
    assert [drawn.writer for drawn in one] == sorted([*range(WRITERS)] * 6)
    assert {drawn.picture.shape for drawn in one} == {(96, 96)}


def test_strokes_lean_to_the_right() -> None:
    upright = PenDigits(np.array([[[50, 100 - 100 * step // 7] for step in range(8)]] * 5, np.uint8), np.full(5, 1))
    for drawn in slanted_digits(upright):
        ink = np.abs(drawn.picture.astype(np.float64) - np.median(drawn.picture)) > 60
        rows, columns = np.nonzero(ink)
        slope = np.polyfit(rows, columns, 1)[0]
        assert -1.6 < slope < -0.4


def test_pictures_go_to_folders_by_writer_and_fresh_ones_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path, _few())
    assert len(list((tmp_path / "learned").iterdir())) == len(LEARNED)
    assert sum(1 for _ in tmp_path.glob("*/*/*/*.png")) == 30
    assert main(["read", str(tmp_path / "fresh"), str(committed("mnist")), str(committed("mnist-cascade"))]) == 0
    read = capsys.readouterr().out
    assert version_name("mnist") in read
    assert version_name("mnist-cascade") in read
    assert "of 12" in read
    assert main(["read", str(tmp_path / "nowhere"), str(committed("mnist"))]) == 1
