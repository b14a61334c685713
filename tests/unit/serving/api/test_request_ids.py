"""Which ids of callers are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.request_ids import LONGEST, LONGEST_GIVEN, given_id, is_id, new_id, of_stream

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = f"00-{TRACE}-{PARENT}-01"
SIGNS = "abcxyzABCXYZ0189._:/+=@-"


@given(st.text(SIGNS, min_size=1, max_size=LONGEST_GIVEN))
def test_an_id_of_plain_signs_is_taken_as_it_is(text: str) -> None:
    assert given_id([("user-agent", "x"), ("x-request-id", text)]) == text
    assert is_id(of_stream(text, 2**64 - 1))


@given(st.text(max_size=200))
def test_what_is_taken_can_stand_in_a_header_and_a_line_of_the_log(text: str) -> None:
    taken = given_id([("x-request-id", text), ("traceparent", text)])
    assert len(taken) <= LONGEST
    assert taken.isascii()
    assert taken.isprintable()
    assert " " not in taken
    assert '"' not in taken


@pytest.mark.parametrize(
    "text", ["", "a b", "a\n", "a\r\nx: y", '"', "é", "a" * (LONGEST_GIVEN + 1), "\0", "a;b", "<b>"]
)
def test_any_other_id_counts_as_not_given(text: str) -> None:
    assert given_id([("x-request-id", text)]) == ""
    assert given_id([("x-request-id", text), ("traceparent", TRACED)]) == f"{TRACE}-{PARENT}"


def test_bytes_are_no_id() -> None:
    assert given_id([("x-request-id", b"abc")]) == ""


@pytest.mark.parametrize("text", [TRACED, f"00-{TRACE}-{PARENT}-00", f"cc-{TRACE}-{PARENT}-01-what-the-future-adds"])
def test_a_trace_names_the_request_by_trace_and_parent(text: str) -> None:
    assert given_id([("traceparent", text)]) == f"{TRACE}-{PARENT}"


@pytest.mark.parametrize(
    "text",
    [
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01x",
        f"00-{TRACE}-{PARENT}",
        TRACED + "-" + "x" * 1000,
        "-" * 10_000,
    ],
)
def test_what_is_no_trace_counts_as_not_given(text: str) -> None:
    assert given_id([("traceparent", text)]) == ""


def test_an_id_of_the_callers_own_goes_before_a_trace() -> None:
    assert given_id([("traceparent", TRACED), ("x-request-id", "mine")]) == "mine"


def test_made_ids_differ_and_are_ids() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(map(is_id, made))
