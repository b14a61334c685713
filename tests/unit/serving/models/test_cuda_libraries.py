from pathlib import Path

import numpy as np

from serving.models.cuda_libraries import LIBRARIES, pinned_pixels, preload


def test_a_file_that_is_no_library_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcudart.so.13").write_bytes(b"no library")
    found = preload([str(tmp_path)])
    assert set(found) == set(LIBRARIES)
    assert found["libcudart.so.13"] in ("", "libcudart.so.13")  # the second where this host has CUDA


def test_pixels_to_be_copied_are_zeros_that_can_be_written_on_any_host() -> None:
    pixels, _ = pinned_pixels(3)
    assert pixels.shape == (3, 784)
    assert pixels.dtype == np.uint8
    assert not pixels.any()
    pixels[1] = 7
    assert pixels.sum() == 7 * 784
