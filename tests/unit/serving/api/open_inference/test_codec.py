"""The codec against protobuf itself, on any request and any answer."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protos.inference.open_inference_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse
from serving.api.open_inference.codec import AcceptedModel, InferRequest, infer_request, parse_infer
from serving.api.open_inference.outputs import ALL_OUTPUTS, OUTPUTS, RequestedOutput, raw_response, typed_response
from serving.api.open_inference.tensor import TensorSpec, images_from_json
from serving.core.picture_decoder import EncodedImage
from serving.errors import DigitServiceError, InvalidRequestError
from serving.predictions import BatchPredictions, Predictions, Refusal

MODEL = AcceptedModel("mnist", 2, 5)
WIDTHS = {"UINT8": 1, "INT16": 2, "FP32": 4, "INT64": 8}


def raw_request(images: int, datatype: str = "UINT8", **fields: object) -> ModelInferRequest:
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype=datatype, shape=[images, 784])
    raw = bytes(images * 784 * WIDTHS[datatype])
    request = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[raw])
    request.MergeFrom(ModelInferRequest(**fields))  # type: ignore[arg-type]  # any field
    return request


def outcome(content: bytes, is_short: bool) -> InferRequest | tuple[type[DigitServiceError], str]:
    try:
        return parse_infer(content, MODEL) if is_short else infer_request(ModelInferRequest.FromString(content), MODEL)
    except DigitServiceError as error:
        return type(error), str(error)


tensors = st.builds(
    ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["pixels", "pixels", "pixels", "image", ""]),
    datatype=st.sampled_from(["UINT8", "UINT8", "INT16", "FP32", "INT64", "BYTES", "COMPLEX", ""]),
    shape=st.one_of(
        st.integers(-1, 7).map(lambda n: [n, 784]),
        st.sampled_from([[784], [28, 28], [1, 28, 28], [2, 1, 28, 28], [], [1, 28], [2**62, 784], [1]]),
    ),
    contents=st.sampled_from([None, None, None, InferTensorContents(), InferTensorContents(uint_contents=[0] * 784)]),
)
outputs = st.builds(
    ModelInferRequest.InferRequestedOutputTensor, name=st.sampled_from([*OUTPUTS, "digit", "probabilities", "logits"])
)
requests = st.builds(
    ModelInferRequest,
    model_name=st.sampled_from(["mnist", "mnist", "mnist", "cats"]),
    model_version=st.sampled_from(["", "", "2", "3", "x" * 900]),
    id=st.sampled_from(["", "7", "é" * 300]),
    inputs=st.lists(tensors, max_size=2),
    outputs=st.lists(outputs, max_size=5),
    raw_input_contents=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 6), st.sampled_from([1, 2, 4, 8])).map(lambda x: bytes([1]) * (784 * x[0] * x[1])),
            st.binary(max_size=1000),
        ),
        max_size=2,
    ),
)
likely = st.builds(
    raw_request,
    images=st.integers(1, 6),
    datatype=st.sampled_from(list(WIDTHS)),
    id=st.text(max_size=20),
    outputs=st.lists(outputs, max_size=4),
)


@given(st.one_of(requests, likely))
@example(raw_request(1))
@example(raw_request(5, "FP32", model_version="2"))
def test_any_request_is_read_as_protobuf_reads_it(request: ModelInferRequest) -> None:
    content = request.SerializeToString()
    first, again = outcome(content, is_short=True), outcome(content, is_short=True)
    assert first == again == outcome(content, is_short=False)


@given(likely, st.data())
def test_a_damaged_request_is_read_as_protobuf_reads_it(request: ModelInferRequest, data: st.DataObject) -> None:
    content = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):  # in the head, where it matters
        content[data.draw(st.integers(0, min(len(content), 120) - 1))] = data.draw(st.integers(0, 255))
    try:
        ModelInferRequest.FromString(bytes(content))
    except Exception:  # whatever protobuf refuses
        refused = r"the message is no inference\.ModelInferRequest|the message holds more than 8,192 entries"
        with pytest.raises(InvalidRequestError, match=refused):
            parse_infer(bytes(content), MODEL)
    else:
        assert outcome(bytes(content), is_short=True) == outcome(bytes(content), is_short=False)


@pytest.mark.parametrize("datatype", WIDTHS)
def test_two_raw_inputs_or_raw_with_typed_are_refused(datatype: str) -> None:
    doubled = raw_request(1, datatype, raw_input_contents=[bytes(784 * WIDTHS[datatype])])
    with pytest.raises(InvalidRequestError, match="holds 2 entries for 1 input"):
        parse_infer(doubled.SerializeToString(), MODEL)
    mixed = raw_request(1, datatype)
    mixed.inputs[0].contents.uint_contents.extend([1] * 784)
    with pytest.raises(InvalidRequestError, match="both contents and raw_input_contents are set"):
        parse_infer(mixed.SerializeToString(), MODEL)


@given(st.floats(-1e-4, 1e-4), st.sampled_from(["FP32", "FP64"]))
def test_a_rounding_beyond_0_or_1_is_read_as_0_or_1(rounding: float, datatype: str) -> None:
    """As arithmetic on other machines leaves it: 255 times 1/255 is 1.0000001 there."""
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype=datatype, shape=[784])
    values = np.array([1 + rounding, rounding] + [0] * 782, np.float32 if datatype == "FP32" else np.float64)
    request = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[values.tobytes()])
    assert parse_infer(request.SerializeToString(), MODEL).images == b"\xff" + bytes(783)


def test_an_empty_but_present_contents_beside_raw_data_is_no_data() -> None:
    """MLServer's client sends it so with use_raw=True."""
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[784])
    tensor.contents.SetInParent()
    request = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[bytes(784)])
    assert parse_infer(request.SerializeToString(), MODEL).images == bytes(784)


@given(st.binary(min_size=784, max_size=784))
def test_levels_sent_as_floats_come_back_exactly(levels: bytes) -> None:
    for datatype, dtype in (("FP16", np.float16), ("FP32", np.float32), ("FP64", np.float64)):
        scaled = (np.frombuffer(levels, np.uint8) / 255).astype(dtype)
        tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype=datatype, shape=[784])
        request = ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[scaled.tobytes()])
        assert parse_infer(request.SerializeToString(), MODEL).images == levels


@given(st.binary(min_size=784, max_size=784), st.sampled_from(["UINT8", "INT16", "INT64"]))
def test_whole_levels_that_json_writes_as_floats_come_back_exactly(levels: bytes, datatype: str) -> None:
    assert images_from_json(TensorSpec(datatype, 1), [float(level) for level in levels]) == levels


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, 1e300])
def test_floats_in_json_that_are_no_levels_are_refused(value: float) -> None:
    with pytest.raises(InvalidRequestError, match=r"whole numbers|values must be 0 to 255"):
        images_from_json(TensorSpec("UINT8", 1), [value] * 784)


@pytest.mark.parametrize(
    ("datatype", "field", "values", "words"),
    [
        ("FP32", "fp32_contents", [float("nan")] + [0] * 783, "must be 0 to 1"),
        ("FP32", "fp32_contents", [float("inf")] + [0] * 783, "divide by 255 or send UINT8"),
        ("FP64", "fp64_contents", [-0.01] + [0] * 783, "must be 0 to 1"),
        ("UINT8", "uint_contents", [256] + [0] * 783, "must be 0 to 255"),
        ("INT32", "int_contents", [-1] + [0] * 783, "must be 0 to 255"),
        ("UINT64", "uint64_contents", [2**64 - 1] + [0] * 783, "must be 0 to 255"),
        ("UINT8", "uint_contents", [0] * 783, "its shape makes 784 elements, uint_contents holds 783"),
        ("UINT8", "fp32_contents", [0.0] * 784, "UINT8 belongs in uint_contents, not in fp32_contents"),
        ("FP16", "fp32_contents", [0.0] * 784, "FP16 has no typed form"),
    ],
)
def test_typed_values_that_no_image_has_are_refused(datatype: str, field: str, values: list[float], words: str) -> None:
    request = ModelInferRequest(model_name="mnist")
    tensor = request.inputs.add(name="pixels", datatype=datatype, shape=[1, 784])
    getattr(tensor.contents, field).extend(values)
    with pytest.raises(InvalidRequestError) as raised:
        parse_infer(request.SerializeToString(), MODEL)
    assert words in str(raised.value)


def bytes_request(raw: bytes, count: int) -> bytes:
    tensor = ModelInferRequest.InferInputTensor(name="pixels", datatype="BYTES", shape=[count])
    return ModelInferRequest(model_name="mnist", inputs=[tensor], raw_input_contents=[raw]).SerializeToString()


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_raw_picture_files_are_separated_by_their_lengths(files: list[bytes]) -> None:
    raw = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    assert parse_infer(bytes_request(raw, len(files)), MODEL).images == [EncodedImage(file) for file in files]
    for wrong in (raw[:-1], raw + b"x"):
        with pytest.raises(InvalidRequestError):
            parse_infer(bytes_request(wrong, len(files)), MODEL)


def test_a_length_far_beyond_the_message_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="element 0 of 1 is cut off"):
        parse_infer(bytes_request(b"\xff\xff\xff\xff", 1), MODEL)


@pytest.mark.parametrize(
    "shape", [[], [0, 784], [-1, 784], [2**62, 784], [784, 1], [28, 28, 28], [1] * 100_000, [-(2**63)]]
)
def test_a_hostile_shape_is_refused_in_few_words(shape: list[int]) -> None:
    request = raw_request(1)
    del request.inputs[0].shape[:]
    request.inputs[0].shape.extend(shape)
    with pytest.raises(InvalidRequestError) as raised:
        parse_infer(request.SerializeToString(), MODEL)
    assert len(str(raised.value)) < 250


probability = st.floats(0, 1, width=32)
rows = st.lists(
    st.tuples(
        st.integers(0, 9),
        probability,
        st.lists(probability, min_size=10, max_size=10),
        st.sampled_from(Refusal),
    ),
    min_size=1,
    max_size=5,
)


def answered(
    digits: list[int], novelties: list[float], tens: list[list[float]], refusals: list[Refusal]
) -> Predictions:
    batch = BatchPredictions(
        np.array(tens, np.float32),
        np.array(digits, np.int64),
        np.array(novelties, np.float32),
    )
    batch.refusals = np.array(refusals, np.uint8)
    batch.version = 2
    return Predictions(batch, 0, len(batch))


requested = st.lists(st.sampled_from(ALL_OUTPUTS), unique=True, min_size=1).map(tuple)


@given(rows, st.sampled_from(["", "7", "é"]), requested)
def test_an_answer_reads_back_through_protobuf_raw_and_typed(
    rows: list[tuple[int, float, list[float], Refusal]], id: str, requested: tuple[RequestedOutput, ...]
) -> None:
    digits, novelties, tens, refusals = map(list, zip(*rows, strict=True))
    answer = answered(digits, novelties, tens, refusals)
    expected: dict[str, npt.NDArray[Any]] = {
        "probabilities": np.array(tens, np.float32),
        "digit": np.array(digits, np.int64)[:, np.newaxis],
        "novelty": np.array(novelties, np.float32)[:, np.newaxis],
        "refused": np.array([refusal is not Refusal.NONE for refusal in refusals])[:, np.newaxis],
    }
    raw = ModelInferResponse.FromString(raw_response("mnist", id, requested, answer))
    typed = ModelInferResponse.FromString(typed_response("mnist", id, requested, answer))
    for response in (raw, typed):
        assert (response.model_name, response.model_version, response.id) == ("mnist", "2", id)
        assert [tensor.name for tensor in response.outputs] == [output.name for output in requested]
    for tensor, content, like in zip(raw.outputs, raw.raw_output_contents, typed.outputs, strict=True):
        values, kind = expected[tensor.name], OUTPUTS[tensor.name]
        assert (tensor.datatype, list(tensor.shape)) == (like.datatype, list(like.shape))
        assert list(tensor.shape) == list(values.shape)
        np.testing.assert_array_equal(np.frombuffer(content, kind.dtype).reshape(values.shape), values)
        np.testing.assert_array_equal(np.reshape(getattr(like.contents, kind.contents), values.shape), values)


@given(rows, st.integers(1, 10))
def test_classes_are_the_likeliest_digits_raw_and_typed(
    rows: list[tuple[int, float, list[float], Refusal]], classes: int
) -> None:
    tens = [row[2] for row in rows]
    answer = answered([0] * len(rows), [0.0] * len(rows), tens, [Refusal.NONE] * len(rows))
    requested = (RequestedOutput("probabilities", classes),)
    typed = ModelInferResponse.FromString(typed_response("mnist", "", requested, answer))
    raw = ModelInferResponse.FromString(raw_response("mnist", "", requested, answer))
    texts = list(typed.outputs[0].contents.bytes_contents)
    assert raw.raw_output_contents[0] == b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    assert raw.outputs[0].datatype == "BYTES"
    assert list(raw.outputs[0].shape) == [len(rows), classes]
    for index, probabilities in enumerate(tens):
        likeliest = sorted(range(10), key=lambda digit: -probabilities[digit])[:classes]
        expected = [f"{probabilities[digit]:f}:{digit}:{digit}".encode() for digit in likeliest]
        assert texts[index * classes : (index + 1) * classes] == expected
