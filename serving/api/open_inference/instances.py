"""KServe's version 1: `{"instances": [...]}` in, `{"predictions": [...]}` out."""

from typing import Any

from serving.api.image_lists import decoded_picture, pixels_of_numbers
from serving.core.picture_decoder import EncodedImage, ImageInput
from serving.errors import InvalidRequestError
from serving.predictions import Predictions, Refusal

_PICTURE_KEYS = ("b64", "image", "image_bytes", "data")  # TensorFlow Serving's, KServe's examples', Vertex AI's


def parse_instances(document: Any, most: int) -> list[ImageInput]:
    """Returns the images of a request: lists of 784 numbers in any nesting, or pictures as `{"b64": "..."}`.

    Raises InvalidRequestError.
    """
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise InvalidRequestError('the request is {"instances": [...]}, a list of images')
    if not 1 <= len(instances) <= most:
        raise InvalidRequestError(f"the request holds {len(instances)} images, 1 to {most} are accepted")
    return [_image(index, instance) for index, instance in enumerate(instances)]


def predictions_of_instances(predictions: Predictions) -> list[dict[str, Any]]:
    """Returns a JSON object for each image, with the model's outputs by name."""
    return [
        {
            "digit": digit,
            "probabilities": probabilities,
            "novelty": novelty,
            "refused": refusal != Refusal.NONE,
        }
        for digit, probabilities, novelty, refusal in zip(
            predictions.digits.tolist(),
            predictions.probabilities.tolist(),
            predictions.novelties.tolist(),
            predictions.refusals.tolist(),
            strict=True,
        )
    ]


def _image(index: int, instance: Any) -> ImageInput:
    try:
        if isinstance(instance, dict):
            keys = [key for key in _PICTURE_KEYS if key in instance]
            if not keys:
                raise InvalidRequestError(f"a picture is an object with one of {', '.join(_PICTURE_KEYS)}")
            inner = instance[keys[0]]
            if isinstance(inner, dict) and "b64" in inner:  # {"image_bytes": {"b64": "..."}}
                inner = inner["b64"]
            return EncodedImage(decoded_picture(inner)) if isinstance(inner, str) else pixels_of_numbers(inner)
        if isinstance(instance, str):
            return EncodedImage(decoded_picture(instance))
        return pixels_of_numbers(instance)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"image {index}: {error}") from error
