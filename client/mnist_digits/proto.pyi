from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    REFUSAL_NOVEL: _ClassVar[Refusal]
    REFUSAL_BLANK: _ClassVar[Refusal]
    REFUSAL_SEVERAL_GLYPHS: _ClassVar[Refusal]

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_BLANK: _ClassVar[Quality]
    QUALITY_SEVERAL_GLYPHS: _ClassVar[Quality]
    QUALITY_TOUCHES_BORDER: _ClassVar[Quality]
    QUALITY_LOW_CONTRAST: _ClassVar[Quality]
    QUALITY_MOSTLY_DARK: _ClassVar[Quality]

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_AUTO: _ClassVar[Layout]
    LAYOUT_DIGIT: _ClassVar[Layout]
    LAYOUT_LINE: _ClassVar[Layout]
    LAYOUT_PAGE: _ClassVar[Layout]

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_CONVOLUTION: _ClassVar[Kind]
    KIND_MAX_POOLING: _ClassVar[Kind]
    KIND_DENSE: _ClassVar[Kind]
REFUSAL_UNSPECIFIED: Refusal
REFUSAL_NOVEL: Refusal
REFUSAL_BLANK: Refusal
REFUSAL_SEVERAL_GLYPHS: Refusal
QUALITY_UNSPECIFIED: Quality
QUALITY_BLANK: Quality
QUALITY_SEVERAL_GLYPHS: Quality
QUALITY_TOUCHES_BORDER: Quality
QUALITY_LOW_CONTRAST: Quality
QUALITY_MOSTLY_DARK: Quality
LAYOUT_AUTO: Layout
LAYOUT_DIGIT: Layout
LAYOUT_LINE: Layout
LAYOUT_PAGE: Layout
KIND_UNSPECIFIED: Kind
KIND_CONVOLUTION: Kind
KIND_MAX_POOLING: Kind
KIND_DENSE: Kind

class Image(_message.Message):
    __slots__ = ("pixels", "encoded")
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    pixels: bytes
    encoded: bytes
    def __init__(self, pixels: _Optional[bytes] = ..., encoded: _Optional[bytes] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("images", "model_version")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    model_version: int
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., model_version: _Optional[int] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("predictions", "model_version", "request_id")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    model_version: int
    request_id: str
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., model_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("digit", "probability", "probabilities", "novelty", "refused", "refusal", "quality")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    digit: int
    probability: float
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    novelty: float
    refused: bool
    refusal: Refusal
    quality: _containers.RepeatedScalarFieldContainer[Quality]
    def __init__(self, digit: _Optional[int] = ..., probability: _Optional[float] = ..., probabilities: _Optional[_Iterable[float]] = ..., novelty: _Optional[float] = ..., refused: _Optional[bool] = ..., refusal: _Optional[_Union[Refusal, str]] = ..., quality: _Optional[_Iterable[_Union[Quality, str]]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("picture", "layout", "model_version")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    layout: Layout
    model_version: int
    def __init__(self, picture: _Optional[bytes] = ..., layout: _Optional[_Union[Layout, str]] = ..., model_version: _Optional[int] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("lines", "model_version", "quality", "width", "height", "request_id")
    LINES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[Line]
    model_version: int
    quality: _containers.RepeatedScalarFieldContainer[Quality]
    width: int
    height: int
    request_id: str
    def __init__(self, lines: _Optional[_Iterable[_Union[Line, _Mapping]]] = ..., model_version: _Optional[int] = ..., quality: _Optional[_Iterable[_Union[Quality, str]]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("text", "probability", "refused", "digits")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    DIGITS_FIELD_NUMBER: _ClassVar[int]
    text: str
    probability: float
    refused: bool
    digits: _containers.RepeatedCompositeFieldContainer[Glyph]
    def __init__(self, text: _Optional[str] = ..., probability: _Optional[float] = ..., refused: _Optional[bool] = ..., digits: _Optional[_Iterable[_Union[Glyph, _Mapping]]] = ...) -> None: ...

class Glyph(_message.Message):
    __slots__ = ("digit", "probability", "probabilities", "novelty", "refused", "box")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    digit: int
    probability: float
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    novelty: float
    refused: bool
    box: Box
    def __init__(self, digit: _Optional[int] = ..., probability: _Optional[float] = ..., probabilities: _Optional[_Iterable[float]] = ..., novelty: _Optional[float] = ..., refused: _Optional[bool] = ..., box: _Optional[_Union[Box, _Mapping]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("image", "model_version", "without_kernels")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_KERNELS_FIELD_NUMBER: _ClassVar[int]
    image: Image
    model_version: int
    without_kernels: bool
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., model_version: _Optional[int] = ..., without_kernels: _Optional[bool] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("prediction", "model_version", "pixels", "layers", "importance", "request_id")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    model_version: int
    pixels: bytes
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    importance: Tensor
    request_id: str
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., model_version: _Optional[int] = ..., pixels: _Optional[bytes] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., importance: _Optional[_Union[Tensor, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("name", "kind", "inputs", "kernel_size", "strides", "padding", "kernel", "bias", "before_activation", "output")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    STRIDES_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: Kind
    inputs: _containers.RepeatedScalarFieldContainer[str]
    kernel_size: _containers.RepeatedScalarFieldContainer[int]
    strides: _containers.RepeatedScalarFieldContainer[int]
    padding: _containers.RepeatedScalarFieldContainer[int]
    kernel: Tensor
    bias: Tensor
    before_activation: Tensor
    output: Tensor
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., inputs: _Optional[_Iterable[str]] = ..., kernel_size: _Optional[_Iterable[int]] = ..., strides: _Optional[_Iterable[int]] = ..., padding: _Optional[_Iterable[int]] = ..., kernel: _Optional[_Union[Tensor, _Mapping]] = ..., bias: _Optional[_Union[Tensor, _Mapping]] = ..., before_activation: _Optional[_Union[Tensor, _Mapping]] = ..., output: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("shape", "values")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...

class ClassifyStreamRequest(_message.Message):
    __slots__ = ("id", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: ClassifyRequest
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[ClassifyRequest, _Mapping]] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("id", "response", "failure")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: ClassifyResponse
    failure: Failure
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model_version",)
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: int
    def __init__(self, model_version: _Optional[int] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("name", "version", "created", "test_accuracy", "novelty_threshold", "device", "max_images_per_request", "max_image_bytes", "max_image_pixels", "model_sha256", "precision", "inference_threads", "max_batch_size", "is_tuned", "served_versions", "refused_versions", "takes_feedback")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    TEST_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    NOVELTY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGES_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MODEL_SHA256_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_THREADS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    IS_TUNED_FIELD_NUMBER: _ClassVar[int]
    SERVED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TAKES_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    created: str
    test_accuracy: float
    novelty_threshold: float
    device: str
    max_images_per_request: int
    max_image_bytes: int
    max_image_pixels: int
    model_sha256: str
    precision: str
    inference_threads: int
    max_batch_size: int
    is_tuned: bool
    served_versions: _containers.RepeatedScalarFieldContainer[int]
    refused_versions: _containers.RepeatedCompositeFieldContainer[RefusedVersion]
    takes_feedback: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., created: _Optional[str] = ..., test_accuracy: _Optional[float] = ..., novelty_threshold: _Optional[float] = ..., device: _Optional[str] = ..., max_images_per_request: _Optional[int] = ..., max_image_bytes: _Optional[int] = ..., max_image_pixels: _Optional[int] = ..., model_sha256: _Optional[str] = ..., precision: _Optional[str] = ..., inference_threads: _Optional[int] = ..., max_batch_size: _Optional[int] = ..., is_tuned: _Optional[bool] = ..., served_versions: _Optional[_Iterable[int]] = ..., refused_versions: _Optional[_Iterable[_Union[RefusedVersion, _Mapping]]] = ..., takes_feedback: _Optional[bool] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("request_id", "index", "digit", "no_digit", "text")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    NO_DIGIT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    index: int
    digit: int
    no_digit: bool
    text: str
    def __init__(self, request_id: _Optional[str] = ..., index: _Optional[int] = ..., digit: _Optional[int] = ..., no_digit: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ("digit", "refused", "model_version", "text")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    digit: int
    refused: bool
    model_version: int
    text: str
    def __init__(self, digit: _Optional[int] = ..., refused: _Optional[bool] = ..., model_version: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class RefusedVersion(_message.Message):
    __slots__ = ("version", "check", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    check: str
    reason: str
    def __init__(self, version: _Optional[int] = ..., check: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
