"""The client's codec against protobuf itself, on any images and any answer."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mnist_digits import CallError, ImageLike, proto
from mnist_digits.classify_codec import image_bytes, response_predictions, version_bytes
from mnist_digits.images import SIGNATURES
from mnist_digits.results import prediction

raw = st.binary(min_size=1, max_size=8).map(lambda seed: (seed * 784)[:784])
images = st.lists(st.one_of(raw, st.binary(max_size=1000), raw.map(lambda pixels: b"\x89PNG" + pixels[4:])), max_size=5)
probability = st.floats(0, 1, width=32)
plain = st.builds(
    proto.Prediction,
    digit=st.integers(1, 9),
    probability=st.floats(0.125, 1, width=32),
    probabilities=st.lists(probability, min_size=10, max_size=10),
    novelty=st.floats(0.125, 1, width=32),
    refused=st.just(True),
    refusal=st.integers(1, 3),
)
any_prediction = st.builds(
    proto.Prediction,
    digit=st.integers(-1, 2**31 - 1),
    probability=probability,
    probabilities=st.lists(probability, max_size=11),
    novelty=probability,
    refused=st.booleans(),
    refusal=st.integers(0, 200),
    quality=st.lists(st.integers(0, 7), max_size=3),
)
responses = st.builds(
    proto.ClassifyResponse,
    predictions=st.lists(plain, max_size=4) | st.lists(plain | any_prediction, max_size=4),
    model_version=st.sampled_from([0, 1, 2, 300, 2**62]),
)


@settings(deadline=None)  # a busy machine stalls now and then
@given(images, st.sampled_from([0, 1, 2**40]))
def test_any_request_is_the_one_that_protobuf_writes(contents: list[bytes], version: int) -> None:
    is_raw = [len(content) == 784 and not content.startswith(SIGNATURES) for content in contents]
    messages = [
        proto.Image(pixels=content) if plain_pixels else proto.Image(encoded=content)
        for content, plain_pixels in zip(contents, is_raw, strict=True)
    ]
    request = b"".join([*map(image_bytes, contents), version_bytes(version)])
    assert proto.ClassifyRequest.FromString(request) == proto.ClassifyRequest(images=messages, model_version=version)
    assert request == proto.ClassifyRequest(images=messages, model_version=version).SerializeToString()


def test_arrays_and_files_are_written_as_their_bytes(tmp_path: Path) -> None:
    pixels = np.arange(784, dtype=np.uint16).astype(np.uint8)
    (tmp_path / "raw.bin").write_bytes(pixels.tobytes())
    transposed = pixels.reshape(28, 28).T.copy().T  # the same pixels, other order in memory
    forms: list[ImageLike] = [pixels, pixels.reshape(28, 28), transposed, tmp_path / "raw.bin"]
    assert {image_bytes(form) for form in forms} == {image_bytes(pixels.tobytes())}


@settings(deadline=None)  # a busy machine stalls now and then
@given(responses)
@example(proto.ClassifyResponse(predictions=[proto.Prediction()] * 3))
def test_any_answer_is_read_as_protobuf_reads_it(response: proto.ClassifyResponse) -> None:
    expected = [prediction(message, response.model_version) for message in response.predictions]
    assert response_predictions(response.SerializeToString(), len(expected)) == expected


@settings(deadline=None)  # a busy machine stalls now and then
@given(st.lists(plain, min_size=1, max_size=3), st.data())
def test_any_damaged_answer_is_read_as_protobuf_reads_it_or_refused(
    rows: list[proto.Prediction], data: st.DataObject
) -> None:
    content = proto.ClassifyResponse(predictions=rows, model_version=2).SerializeToString()
    place = data.draw(st.integers(0, len(content) - 1))
    check_as_protobuf(content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :])


@pytest.mark.parametrize("damage", [0x00, 0x01, 0x80, 0x81, 0xFF])
def test_an_answer_damaged_at_any_byte_is_read_as_protobuf_reads_it_or_refused(damage: int) -> None:
    row = proto.Prediction(
        digit=3, probability=0.5, probabilities=[0.1] * 10, novelty=0.5, refused=True, refusal=proto.REFUSAL_NOVEL
    )
    content = proto.ClassifyResponse(predictions=[row, row], model_version=2).SerializeToString()
    for place in range(len(content)):
        check_as_protobuf(content[:place] + bytes([damage]) + content[place + 1 :])


def check_as_protobuf(content: bytes) -> None:
    try:
        response = proto.ClassifyResponse.FromString(content)
    except DecodeError:
        with pytest.raises(CallError, match="INTERNAL: the server's answer is no ClassifyResponse"):
            response_predictions(content, 0)
    else:
        expected = [prediction(message, response.model_version) for message in response.predictions]
        answers = response_predictions(content, len(expected))
        assert list(map(str, answers)) == list(map(str, expected))  # as text, where NaN is itself


def test_an_answer_of_another_length_is_refused() -> None:
    response = proto.ClassifyResponse(predictions=[proto.Prediction(digit=1)]).SerializeToString()
    with pytest.raises(CallError, match="INTERNAL: the server answered 1 predictions to 2 images"):
        response_predictions(response, 2)
