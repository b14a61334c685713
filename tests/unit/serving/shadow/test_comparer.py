"""Comparing answers: what is counted, what is remembered for feedback, and what the memory of counts keeps."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from serving.metrics.merge import values
from serving.predictions import BatchPredictions, Pixels
from serving.shadow.comparer import MOST_REMEMBERED, Comparer
from serving.shadow.counts import BOUNDS, ShadowCounts, make_memory
from serving.shadow.messages import (
    MOST_BYTES,
    MOST_IMAGES,
    NO_KEY,
    REFUSED,
    Answered,
    Truth,
    answers_of,
    key_of,
    packed_request,
    packed_truth,
    unpacked,
)

KEY = key_of("forms", "a")


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = make_memory()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def counts(memory: int) -> Iterator[ShadowCounts]:
    counts = ShadowCounts(memory)
    yield counts
    counts.close()


def answers(*given: int) -> BatchPredictions:
    """Predictions of these digits; of REFUSED a refusal."""
    digits = np.array(given, np.int64) % REFUSED
    predictions = BatchPredictions(np.eye(10, dtype=np.float32)[digits], digits, np.zeros(len(given), np.float32))
    predictions.refusals = (np.array(given) == REFUSED).astype(np.uint8)
    return predictions


def request(*served: int, key: bytes = KEY, version: int = 3) -> Answered:
    return Answered(key, version, np.array(served, np.uint8), np.zeros((len(served), 784), np.uint8))


def counted(counts: ShadowCounts, name: str) -> dict[tuple[str, ...], float]:
    """Series of a metric that are not zero, by their labels less those of the versions."""
    found = values(counts.collect(4))
    return {key[3:]: value for key, value in found.items() if key[0] == f"mnist_shadow_{name}" and value}


def test_answers_are_counted_by_how_they_compare_and_by_both(counts: ShadowCounts) -> None:
    comparer = Comparer(counts, iter((0.0, 0.0015)).__next__)
    assert comparer.compare(request(7, 7, REFUSED, 1, REFUSED), lambda _: answers(7, 1, 2, REFUSED, REFUSED)) is None
    assert counted(counts, "images_total") == {
        ("same",): 2, ("other_digit",): 1, ("refused_by_served",): 1, ("refused_by_candidate",): 1,
    }  # fmt: skip
    assert counted(counts, "differences_total") == {
        ("7", "1"): 1, ("refused", "2"): 1, ("1", "refused"): 1,
    }  # fmt: skip
    assert counted(counts, "inference_seconds_sum") == {(): 0.0015}
    expected = {(str(bound),): 1.0 for bound in (*BOUNDS, "+Inf") if float(bound) >= 0.0015}
    assert counted(counts, "inference_seconds_bucket") == expected


@pytest.mark.parametrize("broken", [lambda _: 1 / 0, lambda _: answers(7)])
def test_candidate_that_raises_or_forgets_an_image_is_counted_apart(counts: ShadowCounts, broken: object) -> None:
    error = Comparer(counts).compare(request(7, 7), broken)  # type: ignore[arg-type]  # what a broken one does
    assert isinstance(error, ZeroDivisionError | RuntimeError)
    assert counted(counts, "uncompared_total") == {("raised",): 2}
    assert counted(counts, "images_total") == {}


def test_feedback_says_which_version_was_right(counts: ShadowCounts) -> None:
    comparer = Comparer(counts)
    comparer.compare(request(7, 7, REFUSED, 1), lambda _: answers(7, 1, 2, REFUSED))
    for image, digit in enumerate((7, 1, 5, 1)):
        comparer.judge(Truth(KEY, image, digit))
    comparer.judge(Truth(KEY, 2, -1))  # no digit: right to refuse
    comparer.judge(Truth(KEY, 9, 1))  # no such image
    comparer.judge(Truth(key_of("forms", "b"), 0, 1))  # not compared
    assert counted(counts, "judged_total") == {("both",): 1, ("candidate",): 1, ("neither",): 1, ("served",): 2}


def test_memory_for_feedback_is_bounded_and_the_oldest_goes(counts: ShadowCounts) -> None:
    comparer = Comparer(counts)
    keys = [key_of("forms", str(number)) for number in range(MOST_REMEMBERED // 64 + 1)]
    for key in keys:
        comparer.compare(request(*[7] * 64, key=key), lambda _: answers(*[7] * 64))
    comparer.compare(request(7, key=NO_KEY), lambda _: answers(7))  # nobody can judge it
    for key in (keys[0], keys[1], keys[-1], NO_KEY):
        comparer.judge(Truth(key, 0, 7))
    assert counted(counts, "judged_total") == {("both",): 2}


def test_counts_outlive_their_process_and_begin_anew_with_another_served_version(
    memory: int, counts: ShadowCounts
) -> None:
    before = ShadowCounts(memory)
    Comparer(before).compare(request(7), lambda _: answers(7))
    before.close()
    Comparer(counts).compare(request(7), lambda _: answers(7))
    assert counted(counts, "images_total") == {("same",): 2}
    Comparer(counts).compare(request(7, version=5), None)
    assert counted(counts, "images_total") == {}
    assert counted(counts, "uncompared_total") == {("not_loaded",): 1}


@pytest.mark.parametrize("images", [1, MOST_IMAGES])
def test_a_request_comes_out_of_a_packet_as_it_went_in(images: int) -> None:
    pixels: Pixels = np.random.default_rng(1).integers(256, size=(images, 784), dtype=np.uint8)
    given = answers_of(np.arange(images) % 10, np.arange(images, dtype=np.uint8) % 2)
    packet = b"".join(packed_request(KEY, 2**40, given, pixels))
    assert len(packet) <= MOST_BYTES
    found = unpacked(packet)
    assert isinstance(found, Answered)
    assert (found.key, found.version) == (KEY, 2**40)
    assert np.array_equal(found.answers, given)
    assert np.array_equal(found.pixels, pixels)


def test_a_truth_comes_out_of_a_packet_as_it_went_in() -> None:
    assert unpacked(b"".join(packed_truth(Truth(KEY, 1023, -1)))) == Truth(KEY, 1023, -1)


def test_a_packet_that_no_worker_sends_is_a_bug() -> None:
    packet = b"".join(packed_request(KEY, 3, np.zeros(2, np.uint8), np.zeros((1, 784), np.uint8)))
    with pytest.raises(RuntimeError, match="this is a bug"):
        unpacked(packet)
