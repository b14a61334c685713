"""Refusals of single images leave everything else of a batch, and the other requests that share it, as it was."""

import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.predictions import DIGITS, BatchPredictions, Predictions, Refusal
from tests.support.examples import examples

ROWS = st.lists(st.sampled_from([Refusal.NONE, Refusal.NOVEL, Refusal.BLANK]), min_size=1, max_size=12)


def batch_of(refusals: list[Refusal]) -> BatchPredictions:
    count = len(refusals)
    probabilities = np.random.default_rng(count).dirichlet(np.ones(DIGITS), count).astype(np.float32)
    batch = BatchPredictions(probabilities, probabilities.argmax(axis=1), np.linspace(0, 1, count, dtype=np.float32))
    batch.refusals = np.array(refusals, np.uint8)
    batch.version = 7
    return batch


def encoded_refusals(batch: BatchPredictions) -> bytes:
    return batch.refusals.tobytes()


@given(ROWS, st.data())
@examples(100)
def test_refusing_images_changes_them_alone_and_no_other_request(rows: list[Refusal], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    end = data.draw(st.integers(start + 1, len(rows)))
    indices = data.draw(st.lists(st.integers(0, end - start - 1), unique=True))
    batch = batch_of(rows)
    request = Predictions(batch, start, end, queue_seconds=1.0, inference_seconds=2.0, batch_images=3)
    whole = Predictions(batch, 0, len(rows)).encoded(encoded_refusals)  # cached before: it must not be returned again

    refused = request.with_refusal(indices, Refusal.SEVERAL_GLYPHS)

    wanted = [
        Refusal.SEVERAL_GLYPHS if index in indices and not refusal else refusal
        for index, refusal in enumerate(rows[start:end])
    ]
    assert refused.refusals.tolist() == wanted
    assert refused.encoded(encoded_refusals) == bytes(wanted)
    assert batch.refusals.tolist() == rows
    assert Predictions(batch, 0, len(rows)).encoded(encoded_refusals) == whole
    assert refused[3:] == request[3:]
    assert (refused.images, refused.version) == (request.images, 7)
    for name in ("digits", "probabilities", "novelties"):
        np.testing.assert_array_equal(getattr(refused, name), getattr(request, name))


def test_images_that_are_refused_already_cost_no_copy() -> None:
    request = Predictions(batch_of([Refusal.NOVEL, Refusal.NONE, Refusal.BLANK]), 0, 3)
    assert request.with_refusal([0, 2], Refusal.SEVERAL_GLYPHS) is request
    assert request.with_refusal([], Refusal.SEVERAL_GLYPHS) is request


@given(st.integers(1, 40), st.floats(0, 1), st.data())
@examples(100)
def test_an_image_without_numbers_is_refused_and_changes_no_other(
    count: int, threshold: float, data: st.DataObject
) -> None:
    sound = batch_of([Refusal.NONE] * count)
    pixels = np.eye(count, 784, dtype=np.uint8)
    sound.refuse(pixels, threshold)
    spoilt = batch_of([Refusal.NONE] * count)
    rows = data.draw(st.sets(st.integers(0, count - 1)))
    values = st.sampled_from([np.nan, np.inf, -np.inf])
    for row in rows:
        column = data.draw(st.integers(0, DIGITS))
        if column == DIGITS:
            spoilt.novelties[row] = data.draw(values)
        else:
            spoilt.probabilities[row, column] = data.draw(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spoilt.refuse(pixels, threshold)
    assert np.isfinite(spoilt.novelties).all()
    assert np.isfinite(spoilt.probabilities).all()
    for name in ("novelties", "probabilities", "refusals"):
        assert getattr(spoilt, name).dtype == getattr(sound, name).dtype
    for row in range(count):
        if row in rows:
            assert spoilt.refusals[row] == Refusal.NOVEL
            assert spoilt.novelties[row] == 1
            np.testing.assert_allclose(spoilt.probabilities[row], 1 / DIGITS)
        else:
            assert spoilt.refusals[row] == sound.refusals[row]
            assert spoilt.novelties[row] == sound.novelties[row]
            np.testing.assert_array_equal(spoilt.probabilities[row], sound.probabilities[row])


def test_an_image_without_numbers_and_ink_is_blank() -> None:
    batch = batch_of([Refusal.NONE])
    batch.novelties[:] = np.nan
    batch.refuse(np.zeros((1, 784), np.uint8), 0.5)
    assert batch.refusals.tolist() == [Refusal.BLANK]
