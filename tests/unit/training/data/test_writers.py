"""Writers of MNIST's rows: the committed file."""

from pathlib import Path

import numpy as np
import pytest

from training.data.writers import load_writers
from training.errors import DataError

TRAINING_ROWS = 60_000


def test_each_row_has_a_writer_and_no_writer_is_in_both_parts_of_mnist() -> None:
    writers = load_writers()
    assert writers.writer.shape == writers.series.shape == (70_000,)
    training, test = np.unique(writers.writer[:TRAINING_ROWS]), np.unique(writers.writer[TRAINING_ROWS:])
    assert (len(training), len(test)) == (539, 297)
    assert not set(training) & set(test)


def test_a_writer_belongs_to_one_series() -> None:
    writers = load_writers()
    assert set(np.unique(writers.series)) == {0, 4}
    employees, students = (set(writers.writer[writers.series == each]) for each in (0, 4))
    assert not employees & students


def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "writers.npz"
    with pytest.raises(DataError, match=r"cannot read .*writers\.npz"):
        load_writers(path)
    path.write_bytes(b"other bytes")
    with pytest.raises(DataError, match=r"writers\.npz is damaged"):
        load_writers(path)
