"""Explanations: how the network saw one image, layer by layer, as numpy arrays."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from mnist_digits import proto
from mnist_digits.classify_codec import image_bytes, version_bytes
from mnist_digits.errors import CallError
from mnist_digits.images import ImageLike
from mnist_digits.results import Prediction, enum_name, prediction

SIDE = 28

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of the network, and its feature maps for the image."""

    name: str  # as in the ONNX graph, "convolution_1"
    kind: str  # "convolution", "max_pooling" or "dense"
    inputs: tuple[str, ...]  # layers whose `output` it takes, concatenated; empty: the pixels, 0 to 255, (1, 28, 28)
    kernel_size: tuple[int, ...]  # height and width of the window; empty for a dense layer, as the next two
    strides: tuple[int, ...]  # step of the window, down and right
    padding: tuple[int, ...]  # rows and columns of zeros around the input: top, left, bottom, right
    kernel: Floats | None  # of a convolution: (filters, channels, height, width); None without kernels
    bias: Floats | None  # of a convolution: (filters,); None without kernels
    before_activation: Floats | None  # shape of `output`; None for a layer without an activation (ReLU)
    output: Floats  # feature maps (filters, height, width), or (units,) of a dense layer


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """How the network saw one image. Its arrays are read-only."""

    prediction: Prediction  # as `classify` gives it
    model_version: int  # version of the model that answered
    pixels: npt.NDArray[np.uint8]  # (28, 28), the network's input: 0 = paper, 255 = ink
    layers: tuple[Layer, ...]  # from the pixels to the logits, each after those that it takes its input from
    # (28, 28), in logits: by how much the digit's lead over the next one falls, on average, when paper covers a 4x4
    # square with this pixel in it; negative where the lead grows.
    importance: Floats


def explain_request(image: ImageLike, model_version: int, with_kernels: bool) -> bytes:
    """Serializes an ExplainRequest. Raises what `image_bytes` and `version_bytes` raise."""
    # Image and version have the same field numbers as in ClassifyRequest.
    request = proto.ExplainRequest.FromString(image_bytes(image) + version_bytes(model_version))
    request.without_kernels = not with_kernels
    return request.SerializeToString()


def response_explanation(content: bytes) -> Explanation:
    """Parses a serialized ExplainResponse. Raises CallError, code INTERNAL, for bytes that are no such response."""
    try:
        response = proto.ExplainResponse.FromString(content)
        return Explanation(
            prediction=replace(prediction(response.prediction, response.model_version), request_id=response.request_id),
            model_version=response.model_version,
            pixels=np.frombuffer(response.pixels, np.uint8).reshape(SIDE, SIDE),
            layers=tuple(map(_layer, response.layers)),
            importance=_array(response.importance).reshape(SIDE, SIDE),
        )
    except (DecodeError, ValueError) as error:
        raise CallError("INTERNAL", f"the server's answer is no ExplainResponse: {error}") from error


def _layer(message: proto.Layer) -> Layer:
    return Layer(
        name=message.name,
        kind=enum_name(proto.Kind.DESCRIPTOR, message.kind),
        inputs=tuple(message.inputs),
        kernel_size=tuple(message.kernel_size),
        strides=tuple(message.strides),
        padding=tuple(message.padding),
        kernel=_array(message.kernel) if message.HasField("kernel") else None,
        bias=_array(message.bias) if message.HasField("bias") else None,
        before_activation=_array(message.before_activation) if message.HasField("before_activation") else None,
        output=_array(message.output),
    )


def _array(tensor: proto.Tensor) -> Floats:
    """Views the tensor's values. Raises ValueError where shape and number of values do not fit."""
    return np.frombuffer(tensor.values, "<f4").reshape(tuple(tensor.shape))
