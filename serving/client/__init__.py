"""The client: `DigitClient` and `AsyncDigitClient` for programs, `python -m serving.client` for people."""

from serving.client.async_digit_client import AsyncDigitClient
from serving.client.digit_client import DigitClient
from serving.client.messages import CallError, ImageError, ModelDescription, Prediction

__all__ = ["AsyncDigitClient", "CallError", "DigitClient", "ImageError", "ModelDescription", "Prediction"]
