"""Every figure of one model version, measured from its ONNX file. Numbers only: `report_text` and `plots` show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from training.data.arrays import LabelledDigits
from training.evaluation import metrics
from training.evaluation.evaluate import evaluation_metrics
from training.evaluation.evaluation_sets import EvaluationSet
from training.evaluation.figures import AllMetrics, DigitFigures, OtherSets
from training.evaluation.predictions import Predictions
from training.report.artefact import Artefact
from training.report.evaluation_data import EvaluationData
from training.report.refusal import Refusal

_RESAMPLES = 1000
_LEVEL = 0.95


class ModelFigures(TypedDict):
    """All figures of a version; shares in 0..1."""

    name: str
    version: int
    precision: str
    parameters: int
    multiply_adds: int
    bytes: int
    metrics: AllMetrics
    ece_by_chance: dict[str, float]  # 95 % of perfectly calibrated models with these confidences show less; by set
    other_sets: NotRequired[OtherSets]  # not when only MNIST's figures are measured


class OtherHandwriting(TypedDict):
    """Figures of one set; shares in 0..1."""

    images: int
    accuracy: float | None  # None where nothing is a digit
    refused: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of a version, and the predictions that pictures are drawn from."""

    figures: ModelFigures
    test: Predictions
    refusal: Refusal


def measure(artefact: Artefact, data: EvaluationData) -> Measurement:
    """Measure a version on every set there is."""
    refusal = Refusal.measure(artefact, data)
    figures = mnist_figures(artefact, data.validation, data.test)
    figures["other_sets"] = _other_sets(artefact, data, refusal)
    return Measurement(figures, artefact.predict(data.test), refusal)


def mnist_figures(artefact: Artefact, validation: LabelledDigits, test: LabelledDigits) -> ModelFigures:
    """Measure a version on MNIST alone."""
    metadata = artefact.metadata
    predictions = {"mnist_validation": artefact.predict(validation), "mnist_test": artefact.predict(test)}
    return {
        "name": artefact.name,
        "version": metadata["version"],
        "precision": metadata.get("precision", "float32"),  # versions from before there was int8 do not say
        "parameters": metadata["parameters"],
        "multiply_adds": metadata["multiply_adds"],
        "bytes": (artefact.folder / "model.onnx").stat().st_size,
        "metrics": evaluation_metrics(predictions["mnist_validation"], predictions["mnist_test"], artefact.threshold),
        "ece_by_chance": {name: ece_by_chance(each) for name, each in predictions.items()},
    }


def other_handwriting_figures(artefact: Artefact, sets: Sequence[EvaluationSet]) -> dict[str, OtherHandwriting]:
    """Measure a version on digits and letters by others than MNIST's writers, by the name of the set."""
    figures: dict[str, OtherHandwriting] = {}
    for each in sets:
        outputs = artefact.outputs(each.pixels)
        figures[each.name] = {
            "images": len(each.pixels),
            "accuracy": None if each.labels is None else metrics.accuracy(outputs.probabilities, each.labels),
            "refused": float(np.mean(outputs.novelty > artefact.threshold)),
        }
    return figures


def ece_by_chance(predictions: Predictions) -> float:
    """The 95 % quantile of the ECE that labels drawn from the stated confidences give: what chance alone makes of a
    perfectly calibrated model. A measured ECE below it does not differ from 0.
    """
    confidence = np.max(predictions.probabilities, axis=1)
    generator = np.random.default_rng(0)
    errors = [
        metrics.binned_calibration(confidence, generator.random(len(confidence)) < confidence).expected_error
        for _ in range(_RESAMPLES)
    ]
    return float(np.quantile(errors, _LEVEL))


def _other_sets(artefact: Artefact, data: EvaluationData, refusal: Refusal) -> OtherSets:
    labels = data.test.labels
    accuracies = {
        name: metrics.accuracy(artefact.outputs(pixels).probabilities, labels)
        for name, pixels in data.corrupted_test.items()
    }
    labelled = {each.name: each.digits for each in data.evaluation_sets if each.labels is not None}
    return {
        "corruptions": accuracies,
        "corruptions_mean": float(np.mean(list(accuracies.values()))),
        "refusal": refusal.figures(),
        "digits": {name: _digit_figures(artefact, digits) for name, digits in labelled.items()},
        "stand_ins": {name: _digit_figures(artefact, digits) for name, digits in data.stand_ins.items()},
    }


def _digit_figures(artefact: Artefact, digits: LabelledDigits) -> DigitFigures:
    predictions = artefact.predict(digits)
    return {
        "images": len(digits),
        "accuracy": metrics.accuracy(predictions.probabilities, digits.labels),
        "refused": float(np.mean(predictions.novelty > artefact.threshold)),
    }
