"""Every figure of one model version, measured from its ONNX file. Numbers only: `report_text` and `plots` show them."""

from typing import Any, TypedDict

import numpy as np

from training import metrics
from training.answers import Answers
from training.evaluation import evaluation_metrics
from training.model_metadata import AllMetrics, DigitFigures, OtherSets, RefusalFigures
from training.report.artefact import Artefact
from training.report.report_data import ReportData
from training.report.strangeness import SHIPPED, FeatureDistance, auroc, scores

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
    ece_by_chance: float  # 95 % of perfectly calibrated models with these confidences show less
    other_sets: OtherSets


def measure(artefact: Artefact, data: ReportData) -> ModelFigures:
    """Measure a version on every set there is."""
    validation, test = artefact.answers(data.validation), artefact.answers(data.test)
    metadata = artefact.metadata
    return {
        "name": artefact.name,
        "version": metadata["version"],
        "precision": metadata.get("precision", "float32"),
        "parameters": metadata["parameters"],
        "multiply_adds": metadata["multiply_adds"],
        "bytes": (artefact.folder / "model.onnx").stat().st_size,
        "metrics": evaluation_metrics(validation, test, artefact.threshold),
        "ece_by_chance": ece_by_chance(test),
        "other_sets": _other_sets(artefact, data),
    }


def ece_by_chance(answers: Answers) -> float:
    """The 95 % quantile of the ECE that labels drawn from the stated confidences give: what chance alone makes of a
    perfectly calibrated model. A measured ECE below it cannot be told from 0.
    """
    confidence = np.max(answers.probabilities, axis=1)
    generator = np.random.default_rng(0)
    errors = [
        metrics.binned_calibration(confidence, generator.random(len(confidence)) < confidence).expected_error
        for _ in range(_RESAMPLES)
    ]
    return float(np.quantile(errors, _LEVEL))


def differences(artefact: Artefact, figures: ModelFigures) -> list[str]:
    """Where the version's metadata.json says otherwise than was measured now; empty when it does not."""
    found: list[str] = []
    for name, measured in figures["metrics"].items():
        recorded: Any = artefact.metadata["metrics"][name]  # type: ignore[literal-required]  # both have the same keys
        for key, value in dict(measured).items():  # type: ignore[call-overload]  # a TypedDict is a dict
            if not np.allclose(recorded[key], value, rtol=0, atol=2e-4 if key.startswith("ece") else 1e-5):
                found.append(f"{artefact.name}: {name}.{key} is {value}, metadata.json says {recorded[key]}")
    return found


def _other_sets(artefact: Artefact, data: ReportData) -> OtherSets:
    accuracies = {
        name: float(np.mean(np.argmax(artefact.read(pixels).probabilities, axis=1) == data.test.labels))
        for name, pixels in data.corrupted_test.items()
    }
    labelled = {each.name: each.digits for each in data.evaluation_sets if each.labels is not None}
    return {
        "corruptions": accuracies,
        "corruptions_mean": float(np.mean(list(accuracies.values()))) if accuracies else float("nan"),
        "refusal": _refusal(artefact, data),
        "digits": {name: _digit_figures(artefact, artefact.answers(digits)) for name, digits in labelled.items()},
        "stand_ins": {
            name: _digit_figures(artefact, artefact.answers(digits)) for name, digits in data.stand_ins.items()
        },
    }


def _digit_figures(artefact: Artefact, answers: Answers) -> DigitFigures:
    return {
        "images": len(answers.digits),
        "accuracy": float(np.mean(answers.digit == answers.digits.labels)),
        "refused": float(np.mean(answers.novelty > artefact.threshold)),
    }


def _refusal(artefact: Artefact, data: ReportData) -> dict[str, RefusalFigures]:
    distance = FeatureDistance.fit(artefact.read(data.train.pixels).hidden, data.train.labels)
    of_digits = scores(artefact.read(data.test.pixels), distance)
    figures: dict[str, RefusalFigures] = {}
    for each in data.evaluation_sets:
        if each.labels is None:
            of_others = scores(artefact.read(each.pixels), distance)
            figures[each.name] = {
                "images": len(each.pixels),
                "refused": float(np.mean(of_others[SHIPPED] > artefact.threshold)),
                "auroc": {score: auroc(of_digits[score], of_others[score]) for score in of_digits},
            }
    return figures
