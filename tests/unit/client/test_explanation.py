"""The client's explanations from and to bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits import CallError, proto
from mnist_digits.explanation import explain_request, response_explanation

TENSOR = proto.Tensor(shape=[28, 28], values=bytes(784 * 4))
PLAIN = proto.ExplainResponse(
    prediction=proto.Prediction(digit=4),
    pixels=bytes(784),
    layers=[proto.Layer(name="dense", kind=proto.KIND_DENSE, output=proto.Tensor(shape=[2], values=bytes(8)))],
    importance=TENSOR,
)


@pytest.mark.parametrize("content", [bytes(784), b"\x89PNG and so on"])
@pytest.mark.parametrize("version", [0, 2**40])
@pytest.mark.parametrize("with_kernels", [True, False])
def test_a_request_is_the_one_that_protobuf_writes(content: bytes, version: int, with_kernels: bool) -> None:
    image = proto.Image(pixels=content) if len(content) == 784 else proto.Image(encoded=content)
    request = proto.ExplainRequest(image=image, model_version=version, without_kernels=not with_kernels)
    assert proto.ExplainRequest.FromString(explain_request(content, version, with_kernels)) == request


def test_what_a_response_leaves_out_is_none_and_an_unknown_kind_is_its_number() -> None:
    response = proto.ExplainResponse()
    response.CopyFrom(PLAIN)
    response.layers[0].kind = 77  # type: ignore[assignment]  # of a newer server
    [layer] = response_explanation(response.SerializeToString()).layers
    assert (layer.kind, layer.kernel, layer.bias, layer.before_activation) == ("77", None, None, None)
    assert layer.output.dtype == np.float32


@pytest.mark.parametrize(
    "damage",
    [
        {"pixels": b"short"},
        {"importance": proto.Tensor(shape=[28, 28], values=b"short")},
        {"importance": proto.Tensor(shape=[2], values=bytes(8))},
        {"layers": [proto.Layer(output=proto.Tensor(shape=[3, -5], values=bytes(4)))]},
    ],
)
def test_a_response_whose_shapes_do_not_fit_is_refused(damage: dict[str, object]) -> None:
    response = proto.ExplainResponse()
    response.CopyFrom(PLAIN)
    for name in damage:
        response.ClearField(name)
    response.MergeFrom(proto.ExplainResponse(**damage))  # type: ignore[arg-type]  # fields by name
    with pytest.raises(CallError, match="INTERNAL: the server's answer is no ExplainResponse"):
        response_explanation(response.SerializeToString())


@settings(deadline=None)  # a busy machine stalls now and then
@given(st.data())
def test_any_damaged_response_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(PLAIN.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    code = "OK"
    try:
        explanation = response_explanation(bytes(content))
        assert explanation.importance.shape == explanation.pixels.shape == (28, 28)
    except CallError as error:
        code = error.code
    assert code in {"OK", "INTERNAL"}
