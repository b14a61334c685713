"""Explain's messages from and to bytes. Rarely called, so it uses protobuf, except for the prediction."""

from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import prediction_bytes
from serving.api.wire_format import parse_message, sized_field
from serving.core.explainer import Explanation
from serving.core.picture_decoder import EncodedImage, ImageInput
from serving.errors import InvalidRequestError
from serving.models.graph_layers import Layer
from serving.predictions import Floats

_KINDS = {
    "convolution": digits_pb2.KIND_CONVOLUTION,
    "max_pooling": digits_pb2.KIND_MAX_POOLING,
    "dense": digits_pb2.KIND_DENSE,
}


def parse_explain(content: bytes) -> tuple[ImageInput, digits_pb2.ExplainRequest]:
    """Returns the image to explain, and the parsed request. Raises InvalidRequestError when there is no image."""
    request = parse_message(digits_pb2.ExplainRequest, content)
    form = request.image.WhichOneof("form")
    if form is None:
        raise InvalidRequestError("the request holds no image")
    return (request.image.pixels if form == "pixels" else EncodedImage(request.image.encoded)), request


def explanation_bytes(explanation: Explanation, with_kernels: bool, request_id: str) -> bytes:
    """Returns the serialised ExplainResponse. `with_kernels`: includes the kernels and biases of convolutions.

    `request_id`: for feedback; empty: none is taken.
    """
    prediction = prediction_bytes(explanation.predictions)
    rest = digits_pb2.ExplainResponse(
        model_version=explanation.predictions.version,
        pixels=explanation.pixels.tobytes(),
        layers=[_layer(layer, explanation, with_kernels) for layer in explanation.layers],
        importance=_tensor(explanation.importance),
        request_id=request_id,
    ).SerializeToString()
    # The prediction is already serialised. Protobuf reads fields in any order.
    return sized_field(digits_pb2.ExplainResponse, "prediction", len(prediction)) + prediction + rest


def _layer(layer: Layer, explanation: Explanation, with_kernels: bool) -> digits_pb2.Layer:
    values = explanation.values
    return digits_pb2.Layer(
        name=layer.name,
        kind=_KINDS[layer.kind],
        inputs=layer.inputs,
        kernel_size=layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        kernel=_tensor(layer.kernel) if with_kernels else None,
        bias=_tensor(layer.bias) if with_kernels else None,
        # values hold a batch of one image
        before_activation=_tensor(values[layer.before_activation][0]) if layer.before_activation else None,
        output=_tensor(values[layer.output][0]),
    )


def _tensor(array: Floats | None) -> digits_pb2.Tensor | None:
    return None if array is None else digits_pb2.Tensor(shape=array.shape, values=array.astype("<f4").tobytes())
