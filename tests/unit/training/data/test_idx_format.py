import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.data.idx_format import decode, encode
from training.errors import DataError


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_what_is_encoded_decodes_to_the_same(array: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode(encode(array), "file"), array)


def test_bytes_are_those_of_the_format() -> None:
    assert encode(np.array([[7, 8]], np.uint8)) == bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8])


@given(st.integers(0, 13))
def test_a_file_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(DataError, match="file"):
        decode(encode(np.array([[7, 8]], np.uint8))[:length], "file")


def test_the_error_says_how_many_bytes_there_should_be() -> None:
    with pytest.raises(DataError, match="images holds 13 bytes where its header promises 14"):
        decode(encode(np.array([[7, 8]], np.uint8))[:-1], "images")


def test_left_over_bytes_are_refused() -> None:
    with pytest.raises(DataError, match="15 bytes"):
        decode(encode(np.array([[7, 8]], np.uint8)) + b"!", "file")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n", bytes([0, 0, 13, 1, 0, 0, 0, 0]), b"\x1f\x8b\x08\x00"])
def test_other_formats_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="not an IDX file of bytes"):
        decode(content, "file")
