"""Judging a finished run: temperature and threshold from validation rows; then all figures, test rows last and once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.config import TrainingConfig
from training.data.arrays import Floats, LabelledDigits, Weights
from training.data.mnist import Mnist
from training.data.split import split_rows
from training.evaluation import metrics
from training.evaluation.calibration import fit_temperature, shared_threshold, sigmoid, softmax
from training.evaluation.figures import AllMetrics, Evaluation, SetMetrics
from training.evaluation.predictions import Answers
from training.network.outputs import network_answers
from training.network.weights import network_from_weights


@dataclass(frozen=True, slots=True)
class Judgement:
    """The figures, and the answers on the test rows that pictures are drawn from."""

    evaluation: Evaluation
    test: Answers


def judge(
    config: TrainingConfig, weights: Weights, mnist: Mnist, elsewhere: Sequence[LabelledDigits] = ()
) -> Judgement:
    """Every figure of a run. The test rows serve for nothing but the figures.

    Args:
        config: the run's settings.
        weights: its result.
        mnist: all of MNIST.
        elsewhere: stand-ins for other populations, made from validation rows; the threshold spares them too.
    """
    network = network_from_weights(config, weights)
    rows = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed).validation
    found = network_answers(network, rows.pixels)
    temperature = fit_temperature(found.logits, rows.labels)
    validation = Answers(rows, softmax(found.logits, temperature), sigmoid(found.novelty_logits))
    asked = network_answers(network, mnist.test.pixels)
    test = Answers(mnist.test, softmax(asked.logits, temperature), sigmoid(asked.novelty_logits))
    others = [sigmoid(network_answers(network, each.pixels).novelty_logits) for each in elsewhere]
    return Judgement(evaluation_of(config, temperature, validation, test, others), test)


def evaluation_of(
    config: TrainingConfig, temperature: float, validation: Answers, test: Answers, elsewhere: Sequence[Floats]
) -> Evaluation:
    """All figures of a model from its answers; the threshold follows from validation and the novelties `elsewhere`."""
    threshold = shared_threshold(
        validation.novelty, config.largest_refused_share, elsewhere, config.largest_refused_share_elsewhere
    )
    metrics_of_both = evaluation_metrics(validation, test, threshold)
    return {"temperature": temperature, "novelty_threshold": threshold, "metrics": metrics_of_both}


def evaluation_metrics(validation: Answers, test: Answers, threshold: float) -> AllMetrics:
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


def set_metrics(answers: Answers, threshold: float) -> SetMetrics:
    """All figures of one evaluation set."""
    probabilities, labels = answers.probabilities, answers.digits.labels
    answered = answers.novelty <= threshold
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
