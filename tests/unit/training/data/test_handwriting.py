import io

import numpy as np
from PIL import Image

from training.data.arrays import LabelledDigits
from training.data.handwriting import ink, mixed, placed
from training.data.samples import digits_file, sample_pictures


def _validation() -> LabelledDigits:
    """Sixty drawings of each label: a thick bar whose place gives the label."""
    pixels = np.zeros((600, 28, 28), np.uint8)
    labels = np.arange(600) % 10
    for row, label in enumerate(labels):
        pixels[row, 4:24, 5 + label : 11 + label] = 255
    return LabelledDigits(pixels.reshape(600, 784), labels)


def test_ink_is_where_the_small_digit_has_it() -> None:
    coverage = ink(_validation().pixels[0], 280)
    assert coverage.shape == (280, 280)
    assert coverage[140, 80] == 1
    assert coverage[140, 200] == 0


def test_hard_ink_has_no_edge() -> None:
    assert set(np.unique(ink(_validation().pixels[0], 100, hard=True))) == {0.0, 1.0}


def test_what_lies_outside_the_sheet_is_cut_off() -> None:
    sheet = placed(np.ones((10, 10), np.float32), 6, 8, top=-7, left=5)
    assert sheet.sum() == 3 * 3
    assert sheet[2, 7] == 1


def test_colours_mix_by_coverage() -> None:
    assert mixed(np.array([[0, 0.5, 1]], np.float32), (0, 0, 0), (200, 100, 50)).tolist() == [
        [[200, 100, 50], [100, 50, 25], [0, 0, 0]]
    ]


def test_every_digit_has_a_sample_that_opens() -> None:
    pictures = sample_pictures(_validation())
    assert sorted(name.rpartition(".")[0][-1] for name in pictures) == [str(digit) for digit in range(10)]
    for name, content in pictures.items():
        if name.endswith(".bin"):
            assert len(content) == 784
        else:
            Image.open(io.BytesIO(content)).load()


def test_test_digits_are_forty_of_each() -> None:
    with np.load(io.BytesIO(digits_file(_validation()))) as file:
        assert np.bincount(file["label"]).tolist() == [40] * 10
        assert file["pixels"].shape == (400, 784)
        assert file["pixels"].dtype == np.uint8
