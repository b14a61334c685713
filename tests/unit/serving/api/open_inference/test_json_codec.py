"""Requests of the REST form are read as those of gRPC are, whatever JSON brings, and responses read back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.inference.open_inference_pb2 import ModelInferRequest
from serving.api.open_inference.codec import AcceptedModel, parse_infer
from serving.api.open_inference.json_codec import json_infer_response, loads, parse_json_infer
from serving.errors import InvalidRequestError
from serving.predictions import BatchPredictions, Predictions

MODEL = AcceptedModel("mnist", 2, 100)
LEVELS = st.lists(st.integers(0, 255), min_size=784, max_size=784)


def parsed(document: Any, binary: bytes | None = None) -> Any:
    text = json.dumps(document).encode()
    body, length = (text, None) if binary is None else (text + binary, len(text))
    return parse_json_infer(body, length, "mnist", "", MODEL)


def tensor(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 784], **fields}]}


@given(LEVELS)
def test_one_image_is_the_same_in_every_form(levels: list[int]) -> None:
    pixels = bytes(levels)
    rows = [levels[at : at + 28] for at in range(0, 784, 28)]
    for document in (
        tensor(data=levels),
        tensor(data=[levels]),
        tensor(shape=[1, 28, 28], data=[rows]),
        tensor(datatype="FP32", data=[level / 255 for level in levels]),
        tensor(datatype="INT64", data=levels),
    ):
        assert parsed(document).request.images == pixels
    binary = tensor(parameters={"binary_data_size": 784})
    assert parsed(binary, pixels).request.images == pixels
    assert parse_json_infer(pixels, 0, "mnist", "", MODEL).request.images == pixels  # Triton's raw request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data"]))
def test_anything_in_a_request_is_read_or_an_error_for_its_caller(value: Any, place: str) -> None:
    good = tensor(data=[0] * 784)
    where = good if place in ("inputs", "outputs", "parameters", "id") else good["inputs"][0]
    where[place] = value
    try:
        assert len(parsed(good).request.images) == 784
    except InvalidRequestError as error:
        assert 0 < len(str(error)) < 400  # noqa: PT017  # either is right


@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_any_bytes_are_a_request_or_an_error_for_its_caller(body: bytes, length: int | None) -> None:
    with pytest.raises(InvalidRequestError):
        parse_json_infer(body, length, "mnist", "", MODEL)


@pytest.mark.parametrize(
    ("document", "binary", "words"),
    [
        (tensor(), None, "has either `data` or the parameter binary_data_size"),
        (tensor(data=[0] * 784, parameters={"binary_data_size": 784}), bytes(784), "has either `data` or"),
        (tensor(parameters={"binary_data_size": 784}), bytes(783), "783 bytes follow the JSON, and its"),
        (tensor(data=[0] * 783), None, "its shape makes 784 numbers, `data` holds 783"),
        (tensor(data=[0] * 783 + [256]), None, "UINT8 values must be 0 to 255"),
        (tensor(data=[0] * 783 + [0.5]), None, "UINT8 are whole numbers; send FP32"),
        (tensor(data=[0] * 783 + ["x"]), None, "holds other things than numbers"),
        (tensor(data=[[0] * 700, [0] * 84]), None, "no list of numbers of one shape"),
        (tensor(shape=[101, 784], data=[]), None, "holds 101 images, at most 100"),
        (tensor(datatype="BYTES", shape=[1], data=["%"]), None, "no base64"),
        ({"inputs": []}, None, "exactly one input"),
        ({"inputs": [1]}, None, "an input is a JSON object"),
        ([], None, "the request is a JSON object"),
        (tensor(data=[0] * 784) | {"parameters": {str(n): n for n in range(65)}}, None, "has 65 parameters"),
        (tensor(data=[0] * 784) | {"parameters": {"timeout": 2**70}}, None, "a parameter is out of range"),
    ],
)
def test_a_request_that_cannot_be_read_says_why(document: Any, binary: bytes | None, words: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parsed(document, binary)
    assert words in str(raised.value)


def test_json_that_is_none_or_too_much_is_refused() -> None:
    for text in (b"{", b"[NaN]", b"[Infinity]", b"[" * 100_000, b"9" * 5000, b"\xff", b" " * 3_000_000):
        with pytest.raises(InvalidRequestError):
            loads(text)


@given(st.sampled_from(["a", "b"]), st.integers(1, 3), st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_response_reads_back_in_json_and_in_binary(id: str, images: int, wishes: list[bool]) -> None:
    names = ["refused", "probabilities", "novelty", "digit"]
    outputs = [{"name": name, "parameters": {"binary_data": wish}} for name, wish in zip(names, wishes, strict=True)]
    document = tensor(shape=[images, 784], data=[0] * 784 * images) | {"id": id, "outputs": outputs}
    chance = np.random.default_rng(images)
    probabilities = chance.random((images, 10), np.float32)
    batch = BatchPredictions(probabilities, probabilities.argmax(axis=1), chance.random(images, np.float32))
    body, length = json_infer_response(parsed(document), "mnist", Predictions(batch, 0, images))
    answer, binary = json.loads(body[:length]), body[length:] if length is not None else b""
    assert (answer["id"], answer["model_name"]) == (id, "mnist")
    assert [output["name"] for output in answer["outputs"]] == names
    found = {}
    for output, wish in zip(answer["outputs"], wishes, strict=True):
        if wish:
            size = output["parameters"]["binary_data_size"]
            dtype = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}[output["datatype"]]
            values, binary = np.frombuffer(binary[:size], dtype), binary[size:]
        else:
            values = np.array(output["data"])
        found[output["name"]] = values.reshape(output["shape"])
    assert binary == b""
    np.testing.assert_array_equal(found["probabilities"], probabilities)
    np.testing.assert_array_equal(found["digit"], batch.digits[:, np.newaxis])


@given(LEVELS)
def test_json_and_protobuf_are_one_request(levels: list[int]) -> None:
    message = ModelInferRequest(model_name="mnist", id="x")
    given_tensor = message.inputs.add(name="pixels", datatype="UINT8", shape=[1, 784])
    given_tensor.contents.uint_contents.extend(levels)
    by_grpc = parse_infer(message.SerializeToString(), MODEL)
    by_json = parsed(tensor(data=levels) | {"id": "x"}).request
    assert by_json == by_grpc
