"""Judging a finished run: temperature and threshold from validation rows; then all figures, test rows last and once."""

from dataclasses import dataclass

import numpy as np

from training import metrics
from training.arrays import Floats, LabelledDigits, Labels
from training.calibration import fit_temperature, novelty, novelty_threshold, softmax
from training.config import TrainingConfig
from training.mnist_files import Mnist
from training.model_metadata import Evaluation, SetMetrics
from training.split import split_rows
from training.trainer import network_logits
from training.training_state import network_from_weights


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network said to a set of digits: probabilities (n, 10) float32, calibrated."""

    digits: LabelledDigits
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class Judgement:
    """The figures, and the answers on the test rows that pictures are drawn from."""

    evaluation: Evaluation
    test: Answers


def judge(config: TrainingConfig, weights: dict[str, Floats], mnist: Mnist) -> Judgement:
    """Every figure of a run. The test rows serve for nothing but the figures."""
    network = network_from_weights(config, weights)
    split = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed)
    logits = network_logits(network, split.validation.pixels)
    temperature = fit_temperature(logits, split.validation.labels)
    probabilities = softmax(logits, temperature)
    threshold = novelty_threshold(novelty(probabilities), config.largest_refused_share)
    validation = set_metrics(probabilities, split.validation.labels, threshold)

    test = Answers(mnist.test, softmax(network_logits(network, mnist.test.pixels), temperature))
    labels = mnist.test.labels
    trusted = np.setdiff1d(np.arange(len(labels)), metrics.KNOWN_WRONG_TEST_LABELS)
    return Judgement(
        evaluation={
            "temperature": temperature,
            "novelty_threshold": threshold,
            "metrics": {
                "mnist_validation": validation,
                "mnist_test": {
                    **set_metrics(test.probabilities, labels, threshold),
                    "accuracy_without_known_wrong_labels": metrics.accuracy(
                        test.probabilities[trusted], labels[trusted]
                    ),
                },
            },
        },
        test=test,
    )


def set_metrics(probabilities: Floats, labels: Labels, threshold: float) -> SetMetrics:
    """All figures of one evaluation set. probabilities: (n, 10) float32, calibrated; labels: (n,) int64."""
    answered = novelty(probabilities) <= threshold
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
