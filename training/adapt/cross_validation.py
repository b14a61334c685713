"""Trains on a user's pictures: once without each part, which is then read by a network that never saw it, and on all.

Temperature and threshold of a part are fitted on rows of MNIST, on stand-ins for other populations and on the other
parts, each as the network read it that had not learned it.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.adapt.folds import folds_of
from training.adapt.own_digits import OwnDigits
from training.config import TrainingConfig
from training.data.arrays import Floats, LabelledDigits, Pixels, Weights
from training.data.split import Split
from training.evaluation.calibration import fit_temperature, shared_threshold, sigmoid
from training.evaluation.predictions import Predictions, calibrated
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.fit.training_run import fit
from training.network.architecture import network_from_weights
from training.network.outputs import NetworkOutputs, compiled_outputs

FEWEST_FOR_THRESHOLD = 100  # own digits: of fewer, a single odd one would set it


@dataclass(frozen=True, slots=True)
class Lesson:
    """What training on own digits needs: settings, rows to repeat, rows to fit temperature and threshold on.

    `added` are the rows of the run that joined MNIST's; `own_images` of the user's pictures join each batch.
    """

    config: TrainingConfig
    split: Split
    added: AddedRows
    own_images: int
    stand_ins: Sequence[LabelledDigits]


@dataclass(frozen=True, slots=True)
class Adapted:
    """Result: the weights that learned all pictures, and the pictures as networks read them that had not learned them.

    Attributes:
        weights: by variable path.
        seconds: of training, all of them together.
        temperature, threshold: of these weights.
        held_out: predictions for all own pictures.
        is_answered: (n,), whether each of them is accepted at the threshold of its part.
        parts: how many there were.
    """

    weights: Weights
    seconds: float
    temperature: float
    threshold: float
    held_out: Predictions
    is_answered: npt.NDArray[np.bool_]
    parts: int


@dataclass(frozen=True, slots=True)
class _References:
    """What a network says of MNIST's validation rows and of the stand-ins: logits, and novelties of each set."""

    logits: Floats
    novelties: Floats
    elsewhere: tuple[Floats, ...]


def adapt(lesson: Lesson, own: OwnDigits, console: Console, say: Callable[[str], None]) -> Adapted:
    """Train without each part in turn, then on all pictures.

    Raises:
        RunError: the start version holds another network than its settings say.
    """
    part = folds_of(own.groups, lesson.config.data_seed)
    count = int(part.max()) + 1
    logits, novelty_logits = np.zeros((len(own), 10), np.float32), np.zeros(len(own), np.float32)
    references, seconds = [], 0.0
    for number in range(count):
        is_held_out = part == number
        kept, learned = int(is_held_out.sum()), int((~is_held_out).sum())
        say(f"part {number + 1} of {count}: {kept:,} pictures are held out, {learned:,} learned")
        weights, took = _trained(lesson, own.digits.take(np.flatnonzero(~is_held_out)), console)
        run = compiled_outputs(network_from_weights(lesson.config, weights))
        outputs = run(own.digits.pixels[is_held_out])
        logits[is_held_out], novelty_logits[is_held_out] = outputs.logits, outputs.novelty_logits
        references.append(_references(lesson, run))
        seconds += took
    say(f"all {len(own):,} pictures are learned")
    weights, took = _trained(lesson, own.digits, console)
    outputs = NetworkOutputs(logits, novelty_logits)
    probabilities, is_answered = np.zeros((len(own), 10), np.float32), np.zeros(len(own), bool)
    for number, reference in enumerate(references):
        rows = np.flatnonzero(part == number)
        temperature, threshold = _fitted(lesson, reference, own, outputs, part != number)
        found = calibrated(own.digits, outputs, temperature).rows(rows)
        probabilities[rows], is_answered[rows] = found.probabilities, found.novelty <= threshold
    reference = _references(lesson, compiled_outputs(network_from_weights(lesson.config, weights)))
    temperature, threshold = _fitted(lesson, reference, own, outputs, np.ones(len(own), bool))
    held_out = Predictions(own.digits, probabilities, sigmoid(novelty_logits))
    return Adapted(weights, seconds + took, temperature, threshold, held_out, is_answered, count)


def _trained(lesson: Lesson, digits: LabelledDigits, console: Console) -> tuple[Weights, float]:
    """Weights that have learned these pictures as well, and the seconds that it took."""
    added = dataclasses.replace(lesson.added, own=digits, own_images=lesson.own_images)
    with tempfile.TemporaryDirectory(prefix="mnist-adapt-") as folder:
        run = RunFolder(Path(folder) / "run")
        history = fit(run, lesson.config, lesson.split, added, console)
        weights = run.read_weights()
    return weights, sum(each.seconds for each in history)


def _references(lesson: Lesson, run: Callable[[Pixels], NetworkOutputs]) -> _References:
    outputs = run(lesson.split.validation.pixels)
    elsewhere = tuple(sigmoid(run(each.pixels).novelty_logits) for each in lesson.stand_ins)
    return _References(outputs.logits, sigmoid(outputs.novelty_logits), elsewhere)


def _fitted(
    lesson: Lesson,
    reference: _References,
    own: OwnDigits,
    outputs: NetworkOutputs,
    rows: npt.NDArray[np.bool_],
) -> tuple[float, float]:
    """Temperature and threshold of a network, from its references and from `rows` of the own digits, (n,)."""
    rows = rows & own.is_digit
    temperature = fit_temperature(
        np.concatenate([reference.logits, outputs.logits[rows]]),
        np.concatenate([lesson.split.validation.labels, own.digits.labels[rows]]),
    )
    elsewhere = list(reference.elsewhere)
    if rows.sum() >= FEWEST_FOR_THRESHOLD:
        elsewhere.append(sigmoid(outputs.novelty_logits[rows]))
    config = lesson.config
    return temperature, shared_threshold(
        reference.novelties, config.largest_refused_share, elsewhere, config.largest_refused_share_elsewhere
    )
