import gc
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ModelRejectedError
from serving.models.bound_session import GRAPH_OPTIONS, LARGEST_GRAPH, BoundSession, padded_size, padded_sizes
from serving.models.onnx_session import CUDA_OPTIONS, OnnxSession
from serving.predictions import PIXELS, Pixels
from tests.support.committed_models import committed
from tests.support.tiny_model import image_of, tiny_graph

REPOSITORY = Path(__file__).parents[4] / "models"
GRAPH = (committed("mnist") / "model.onnx").read_bytes()


@given(st.integers(1, 4096))
def test_padded_sizes_ascend_from_one_to_the_largest_and_double_at_most(largest: int) -> None:
    sizes = padded_sizes(largest)
    assert (sizes[0], sizes[-1]) == (1, largest)
    assert all(small < large <= 2 * small for small, large in itertools.pairwise(sizes))


@given(st.integers(1, 600), st.integers(1, 600))
def test_a_batch_is_padded_to_the_smallest_size_that_holds_it(images: int, largest: int) -> None:
    sizes = padded_sizes(largest)
    size = padded_size(images, sizes)
    assert size in sizes
    assert size == min((each for each in sizes if each >= images), default=largest)


def digits(*values: int) -> Pixels:
    return np.frombuffer(b"".join(image_of(value) for value in values), np.uint8).reshape(-1, PIXELS)


@pytest.fixture(scope="module")
def tiny() -> BoundSession:
    return BoundSession(tiny_graph(), 8, "cpu")


@pytest.mark.parametrize("images", [1, 2, 7, 64, 130])
def test_a_cascade_answers_from_fixed_buffers_too(images: int) -> None:
    graph = (committed("mnist-cascade") / "model.onnx").read_bytes()
    # Padded with blanks, of which the fast network is unsure; so it is of the noise.
    pixels = np.load(REPOSITORY.parent / "tests/data/digits.npz")["pixels"][:images]
    pixels[1::3] = np.random.default_rng(0).integers(0, 256, pixels[1::3].shape, np.uint8)
    found, expected = BoundSession(graph, 64, "cpu").run(pixels), OnnxSession(graph, "cpu", 1).run(pixels)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.novelties, expected.novelties, rtol=0, atol=1e-5)
    assert np.array_equal(found.digits, expected.digits)


def test_rows_of_an_earlier_batch_do_not_show_in_a_later_one(tiny: BoundSession) -> None:
    assert tiny.run(digits(1, 2, 3, 4, 5, 6, 7, 8)).digits.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    answers = tiny.run(digits(9, 0, 9))
    assert answers.digits.tolist() == [9, 0, 9]
    assert answers.probabilities.shape == (3, 10)
    assert answers.novelties.shape == (3,)


def test_predictions_stay_as_they_are_while_later_batches_run(tiny: BoundSession) -> None:
    first = tiny.run(digits(1, 2))
    before = first.probabilities.copy()
    tiny.run(digits(3, 4))
    assert first.digits.tolist() == [1, 2]
    assert (first.probabilities == before).all()


def test_more_images_than_the_largest_batch_run_in_parts(tiny: BoundSession) -> None:
    values = [number % 10 for number in range(21)]
    assert tiny.run(digits(*values)).digits.tolist() == values


def test_several_threads_get_their_own_answers(tiny: BoundSession) -> None:
    found: dict[int, list[int]] = {}

    def work(value: int) -> None:
        found[value] = [digit for _ in range(50) for digit in tiny.run(digits(value)).digits.tolist()]

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {value: [value] * 50 for value in range(4)}


@pytest.fixture(scope="module", params=[GRAPH_OPTIONS, CUDA_OPTIONS], ids=["graphs", "plain"])
def bound(request: pytest.FixtureRequest) -> BoundSession:
    return BoundSession(GRAPH, LARGEST_GRAPH + 44, "cpu", request.param)


@pytest.mark.parametrize("images", [1, 3, 16, LARGEST_GRAPH, LARGEST_GRAPH + 1, 2 * LARGEST_GRAPH])
def test_answers_are_those_of_the_plain_session(images: int, bound: BoundSession) -> None:
    pixels = np.random.default_rng(images).integers(0, 256, (images, PIXELS), np.uint8)
    found, plain = bound.run(pixels), OnnxSession(GRAPH, "cpu", 1).run(pixels)
    assert found.digits.tolist() == plain.digits.tolist()
    assert np.allclose(found.probabilities, plain.probabilities, rtol=0, atol=1e-6)
    assert np.allclose(found.novelties, plain.novelties, rtol=0, atol=1e-6)


def test_a_graph_with_another_signature_is_rejected() -> None:
    with pytest.raises(ModelRejectedError, match="signature"):
        BoundSession(tiny_graph(pixels_name="keras_tensor"), 8, "cpu")


def test_an_image_that_fails_is_not_left_in_the_padding_of_the_next_batch(tiny: BoundSession) -> None:
    failing = digits(1, 2, 3, 4).copy()
    failing[3, -1] = 255
    with pytest.raises(Exception, match=r"indices element out of"):
        tiny.run(failing)
    assert tiny.run(digits(5, 6, 7)).digits.tolist() == [5, 6, 7]


def test_a_session_that_nobody_uses_ends_its_thread() -> None:
    before = set(threading.enumerate())
    session = BoundSession(tiny_graph(), 2, "cpu")
    assert session.run(digits(3)).digits.tolist() == [3]
    (thread,) = set(threading.enumerate()) - before
    del session
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()
