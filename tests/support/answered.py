"""Predictions and answered images for tests of the store."""

import numpy as np

from serving.predictions import BatchPredictions, Pixels, Predictions
from serving.store.records import Answered


def predictions_for(digits: list[int], probability: float = 0.91, version: int = 3) -> Predictions:
    """Predictions of these digits, each with this probability, in a batch with another row in front."""
    rows = [0, *digits]
    probabilities = np.full((len(rows), 10), 0.01, np.float32)
    probabilities[np.arange(len(rows)), rows] = probability
    batch = BatchPredictions(probabilities, np.array(rows), np.linspace(0, 0.5, len(rows), dtype=np.float32))
    batch.version = version
    return Predictions(batch, 1, len(rows))


def images_of(digits: list[int]) -> Pixels:
    """Images that differ, and say which they are: the first pixel is the place, the second the digit."""
    pixels = np.zeros((len(digits), 784), np.uint8)
    pixels[:, 0], pixels[:, 1] = np.arange(len(digits)) % 256, digits
    return pixels


def answered(digit: int = 3, time: float = 1000.0, pixels: bytes = bytes(784)) -> Answered:
    return Answered(time, 3, digit, 0.9, 0.1, 0, pixels)
