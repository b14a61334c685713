"""Properties of what is counted in a file before it is opened."""

from hypothesis import given
from hypothesis import strategies as st

from serving.image.file_cost import occurs_more_often

FEW_BYTES = st.binary(max_size=40).map(lambda content: bytes(byte % 3 for byte in content))  # so that patterns repeat


@given(FEW_BYTES, st.sampled_from([b"\0\1", b"\0\1\2", b"\1\0\2\0", b"\0\0"]), st.integers(0, 4))
def test_a_pattern_is_counted_as_bytes_count_it(encoded: bytes, pattern: bytes, most: int) -> None:
    assert occurs_more_often(encoded, pattern, most) == (encoded.count(pattern) > most)
