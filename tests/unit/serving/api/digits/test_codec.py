"""The codec against protobuf itself, on any request and any answer."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, request_id_bytes, request_images, response_bytes
from serving.core.picture_decoder import EncodedImage, ImageInput
from serving.errors import InvalidRequestError
from serving.image.picture import Quality
from serving.predictions import BatchPredictions, Predictions, Refusal

raw = st.binary(min_size=1, max_size=8).map(lambda seed: digits_pb2.Image(pixels=(seed * 784)[:784]))
other = st.one_of(
    st.binary(max_size=1000).map(lambda content: digits_pb2.Image(pixels=content)),
    st.binary(max_size=1000).map(lambda content: digits_pb2.Image(encoded=content)),
)
requests = st.builds(
    digits_pb2.ClassifyRequest,
    images=st.one_of(st.lists(raw, max_size=5), st.lists(st.one_of(raw, other), max_size=5)),
    model_version=st.sampled_from([0, 0, 1, 2**40]),
)


def read(content: bytes, max_images: int) -> tuple[list[ImageInput], int]:
    """What parse_request says, the images one by one in either case."""
    images, version = parse_request(content, max_images)
    return [row.tobytes() for row in images] if isinstance(images, np.ndarray) else list(images), version


def test_raw_images_come_as_one_array() -> None:
    request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes([n]) * 784) for n in (1, 2)])
    images, _ = parse_request(request.SerializeToString(), 2)
    assert isinstance(images, np.ndarray)
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, np.repeat(np.array([[1], [2]], np.uint8), 784, axis=1))


@given(requests)
@example(digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(784))] * 3))
def test_any_request_is_read_as_protobuf_reads_it(request: digits_pb2.ClassifyRequest) -> None:
    assert read(request.SerializeToString(), 5) == request_images(request, 5)


@given(st.binary(max_size=900), st.integers(0, 3))
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(tail: bytes, images: int) -> None:
    whole = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(784))] * images).SerializeToString() + tail
    try:
        expected = request_images(digits_pb2.ClassifyRequest.FromString(whole), 5)
    except Exception:  # whatever protobuf refuses, and an image of neither form
        with pytest.raises(InvalidRequestError):
            parse_request(whole, 5)
    else:
        assert read(whole, 5) == expected


def test_raw_pixels_and_encoded_pictures_are_distinguished() -> None:
    images = [digits_pb2.Image(pixels=b"12"), digits_pb2.Image(encoded=b"34")]
    request = digits_pb2.ClassifyRequest(images=images, model_version=7)
    assert parse_request(request.SerializeToString(), 2) == ([b"12", EncodedImage(b"34")], 7)


@pytest.mark.parametrize("image", [digits_pb2.Image(pixels=bytes(784)), digits_pb2.Image(encoded=b"x")])
def test_too_many_images_are_refused_before_any_is_looked_at(image: digits_pb2.Image) -> None:
    request = digits_pb2.ClassifyRequest(images=[image] * 3).SerializeToString()
    assert len(parse_request(request, 3)[0]) == 3
    with pytest.raises(InvalidRequestError, match="holds 3 images, at most 2 are accepted"):
        parse_request(request, 2)


probability = st.floats(0, 1, width=32)
predictions = st.lists(
    st.tuples(
        st.integers(0, 9),
        probability,
        st.lists(probability, min_size=10, max_size=10),
        st.sampled_from(Refusal),
        st.integers(0, 2 ** len(Quality) - 1).map(Quality),
    ),
    min_size=1,
    max_size=5,
)


@given(predictions, st.integers(1, 2**62))
def test_any_answer_reads_back_through_protobuf(
    rows: list[tuple[int, float, list[float], Refusal, Quality]], version: int
) -> None:
    batch = BatchPredictions(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 10),
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float32),
    )
    batch.refusals = np.array([row[3] for row in rows], np.uint8)
    batch.version = version
    remarks = {index: row[4] for index, row in enumerate(rows) if row[4]}
    answered = Predictions(batch, 0, len(rows), remarks=remarks)
    response = digits_pb2.ClassifyResponse.FromString(response_bytes(answered))
    assert response.model_version == version
    assert len(response.predictions) == len(rows)
    for prediction, (digit, novelty, probabilities, refusal, quality) in zip(response.predictions, rows, strict=True):
        assert (prediction.digit, prediction.novelty) == (digit, novelty)
        assert prediction.probability == probabilities[digit]
        np.testing.assert_array_equal(prediction.probabilities, probabilities)
        assert prediction.refused == (refusal is not Refusal.NONE)
        assert digits_pb2.Refusal.Name(prediction.refusal) == f"REFUSAL_{refusal.name if refusal else 'UNSPECIFIED'}"
        names = [digits_pb2.Quality.Name(remark) for remark in prediction.quality]
        assert names == [f"QUALITY_{remark.name}" for remark in quality]


@pytest.mark.parametrize("length", [1, 32, 127, 128])
def test_a_requests_id_reads_back_behind_the_predictions(length: int) -> None:
    response = digits_pb2.ClassifyResponse(model_version=7).SerializeToString() + request_id_bytes("x" * length)
    read = digits_pb2.ClassifyResponse.FromString(response)
    assert (read.model_version, read.request_id) == (7, "x" * length)
