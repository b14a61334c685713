"""Evaluates a finished run: temperature and threshold from validation rows, then all figures, test rows once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.config import TrainingConfig
from training.data.arrays import Floats, LabelledDigits, Weights
from training.data.split import Split
from training.evaluation import metrics
from training.evaluation.calibration import fit_temperature, shared_threshold, sigmoid
from training.evaluation.figures import AllMetrics, Evaluation, SetMetrics
from training.evaluation.predictions import Predictions, calibrated
from training.network.architecture import network_from_weights
from training.network.outputs import network_outputs


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """The figures of a run, and its predictions for the test rows, which pictures are drawn from."""

    figures: Evaluation
    test: Predictions


def evaluate_network(
    config: TrainingConfig, weights: Weights, split: Split, stand_ins: Sequence[LabelledDigits] = ()
) -> RunEvaluation:
    """Fit temperature and threshold on the validation rows, then compute every figure of a run.

    Args:
        config: the run's settings.
        weights: its result.
        split: MNIST's rows as the run split them; the test rows serve for nothing but the figures.
        stand_ins: digits of other populations, made from validation rows, which the threshold must accept as well.
    """
    network = network_from_weights(config, weights)
    outputs = network_outputs(network, split.validation.pixels)
    temperature = fit_temperature(outputs.logits, split.validation.labels)
    validation = calibrated(split.validation, outputs, temperature)
    test = calibrated(split.test, network_outputs(network, split.test.pixels), temperature)
    others = [sigmoid(network_outputs(network, digits.pixels).novelty_logits) for digits in stand_ins]
    return RunEvaluation(evaluation_of(config, temperature, validation, test, others), test)


def evaluation_of(
    config: TrainingConfig, temperature: float, validation: Predictions, test: Predictions, others: Sequence[Floats]
) -> Evaluation:
    """All figures of a model; the threshold follows from validation rows and from the novelties of other digits."""
    threshold = shared_threshold(
        validation.novelty, config.largest_refused_share, others, config.largest_refused_share_elsewhere
    )
    metrics_of_both = evaluation_metrics(validation, test, threshold)
    return {"temperature": temperature, "novelty_threshold": threshold, "metrics": metrics_of_both}


def evaluation_metrics(validation: Predictions, test: Predictions, threshold: float) -> AllMetrics:
    """The figures of both parts of MNIST, at a threshold that is given."""
    labels = test.digits.labels
    trusted = np.setdiff1d(np.arange(len(labels)), metrics.KNOWN_WRONG_TEST_LABELS)
    return {
        "mnist_validation": set_metrics(validation, threshold),
        "mnist_test": {
            **set_metrics(test, threshold),
            "accuracy_without_known_wrong_labels": metrics.accuracy(test.probabilities[trusted], labels[trusted]),
        },
    }


def set_metrics(predictions: Predictions, threshold: float) -> SetMetrics:
    """All figures of one evaluation set."""
    probabilities, labels = predictions.probabilities, predictions.digits.labels
    answered = predictions.novelty <= threshold
    return {
        "images": len(labels),
        "accuracy": metrics.accuracy(probabilities, labels),
        "per_digit": metrics.accuracy_per_digit(probabilities, labels),
        "nll": metrics.negative_log_likelihood(probabilities, labels),
        "brier": metrics.brier_score(probabilities, labels),
        "ece": metrics.calibration(probabilities, labels).expected_error,
        "ece_interval": list(metrics.calibration_error_interval(probabilities, labels)),
        "refused": float(1 - np.mean(answered)),
        "accuracy_of_answered": metrics.accuracy(probabilities[answered], labels[answered]),
    }
