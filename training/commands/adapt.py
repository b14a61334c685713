"""Adapts a version to a user's own pictures: read, train, judge on pictures held out and on others', write or not."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.console import Console
from rich.table import Table

from training.adapt.cross_validation import Adapted, Lesson, adapt
from training.adapt.judgement import Change, PopulationChange, Verdict, judge
from training.adapt.own_digits import By, OwnDigits, read_own_digits
from training.adapt.populations import Reader, changes, other_sets, populations_of
from training.adapt.start_version import StartVersion, answered_rightly, highest_version
from training.backend import make_deterministic
from training.commands.data import console, load_data, make_added, say, split_of
from training.commands.drift import known_populations
from training.config import AdaptConfig, Places, apply_settings
from training.data.arrays import LabelledDigits
from training.data.split import Split
from training.environment import current_git_state, library_versions, processor
from training.errors import DataError
from training.evaluation import metrics
from training.evaluation.evaluate import evaluation_metrics
from training.evaluation.evaluation_sets import EvaluationSet, load_evaluation_sets
from training.evaluation.figures import ChangeFigures, Evaluation
from training.evaluation.predictions import Predictions, calibrated
from training.evaluation.stand_ins import DISGUISES
from training.export.drift_reference import Populations
from training.export.metadata import Adaptation
from training.export.model_version import AdaptedTo, FinishedRun, export_run
from training.fit.batches import AddedRows
from training.fit.run_folder import RunRecord
from training.network.architecture import network_from_weights
from training.network.outputs import compiled_outputs

WARMUP_EPOCHS = 0.1
# Times as many synthetic pictures in a batch as the version was trained with: digits of unusual forms make what is no
# digit look less novel.
NON_DIGITS = 3
WIDTH = 110  # of the table where it goes to a file
WIDE = 0.1  # interval of the change that proves little


@dataclass(frozen=True, slots=True)
class Others:
    """Pictures of others: rows to repeat, and populations to compare with, to fit the threshold and drift on."""

    split: Split
    added: AddedRows
    stand_ins: Mapping[str, LabelledDigits]
    evaluation_sets: Sequence[EvaluationSet]
    known: Populations


@dataclass(frozen=True, slots=True)
class Outcome:
    """An adapted network ready to be exported, and what its card says of it."""

    run: FinishedRun
    adapted_to: AdaptedTo
    populations: Populations  # for the reference of drift, the own digits among them


def adapt_version(
    places: Places, settings: Mapping[str, Any], source: Path, start: Path | None, by: str, anyway: bool
) -> None:
    """Adapt the version in the folder `start`, or the highest of --model, to the pictures of `source`.

    Raises:
        DataError: the pictures are no use, or other data cannot be had.
        ExportError: the start cannot be trained on, a check failed, or the repository cannot be written.
        ConfigError: a setting is out of range.
    """
    wanted = apply_settings(AdaptConfig(), settings, "settings")
    version = StartVersion.read(start or highest_version(Path(places.model_repository), places.model))
    own = read_own_digits(source, cast(By, by), say)
    say(f"{_described(own)}; starting from {version.name}")
    make_deterministic(wanted.threads)  # before anything is computed
    others = _load_others(version, places)
    conclude(adapt_to(own, version, wanted, others), others.split, places, anyway)


def adapt_to(own: OwnDigits, version: StartVersion, wanted: AdaptConfig, others: Others) -> Outcome:
    """Train on the own pictures, and compare with the version."""
    record = _record(version, wanted)
    stand_ins = list(others.stand_ins.values())
    lesson = Lesson(record.config, others.split, others.added, wanted.own_images, stand_ins)
    adapted = adapt(lesson, own, console, say)
    after = _reader(record, adapted)
    populations = populations_of(others.split, others.evaluation_sets, others.stand_ins)
    found = changes(populations, Reader(version.predict, version.threshold), after)
    own_changes = _own_changes(version, own, adapted)
    shown = Console()
    Console(width=shown.width if shown.is_terminal else WIDTH).print(_table(own_changes, found))
    _explain(version, own, adapted, own_changes["answered rightly"])
    verdict = judge(own_changes["answered rightly"], found)
    validation, test = after.predict(others.split.validation), after.predict(others.split.test)
    evaluation: Evaluation = {
        "temperature": adapted.temperature,
        "novelty_threshold": adapted.threshold,
        "metrics": evaluation_metrics(validation, test, adapted.threshold),
    }
    named = dataclasses.replace(record.config, start=f"{version.name}/model.onnx")
    run = FinishedRun(dataclasses.replace(record, config=named), adapted.weights, evaluation, adapted.seconds)
    adaptation = _adaptation(version, own, adapted, wanted, own_changes, found, verdict)
    return Outcome(run, AdaptedTo(adaptation, other_sets(populations, found)), _with(others.known, own))


def conclude(outcome: Outcome, split: Split, places: Places, anyway: bool) -> Path | None:
    """Write the next version of --model; its folder. Nothing where something speaks against it, but with `anyway`.

    Raises:
        ExportError: a check failed, or the repository cannot be written; no version was written then.
    """
    objections = outcome.adapted_to.adaptation["objections"]
    for objection in objections:
        say(f"against it: {objection}")
    if objections and not anyway:
        say("no version was written; with --anyway it is, and its card says what speaks against it")
        return None
    repository = Path(places.model_repository)
    path, report = export_run(outcome.run, split, repository, places.model, outcome.populations, outcome.adapted_to)
    say(
        f"checked: valid ONNX; ONNX Runtime agrees with Keras on {report.runtime_images:,} images"
        f" (largest difference {report.runtime_difference:.1e})"
    )
    say(f"written: {path}")
    return path


def _load_others(version: StartVersion, places: Places) -> Others:
    """All data of others, before anything is trained: what cannot be had is known at once."""
    split = split_of(version.config, load_data(places))
    added = make_added(version.config, split, places)
    known = known_populations(places.cache, split.validation)
    stand_ins = {
        name: LabelledDigits(known.digits[name], split.validation.labels[: len(known.digits[name])])
        for name in DISGUISES
    }

    def note(name: str, error: DataError) -> None:
        say(f"{name}: not compared, as it cannot be had: {' '.join(str(error).split())}")

    return Others(split, added, stand_ins, load_evaluation_sets(places.cache, say, on_missing=note), known)


def _described(own: OwnDigits) -> str:
    digits = int(own.is_digit.sum())
    described = f"{digits:,} digits and {len(own) - digits:,} pictures of none"
    return described + ("" if own.by == "picture" else f" in {own.count_of_groups:,} groups, each a {own.by}")


def _record(version: StartVersion, wanted: AdaptConfig) -> RunRecord:
    """The settings of the version's own training, but for those of adapting."""
    config = dataclasses.replace(
        version.config,
        start=str(version.folder / "model.onnx"),
        interpolation=wanted.interpolation,
        teacher="",
        data_seed=version.metadata["version"] % 2**31,  # other distortions than it has seen
        synthetic_images=NON_DIGITS * version.config.synthetic_images,
        warmup_epochs=WARMUP_EPOCHS,
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate,
        threads=wanted.threads,
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return RunRecord(config, current_git_state(), library_versions(), processor(), started)


def _reader(record: RunRecord, adapted: Adapted) -> Reader:
    run = compiled_outputs(network_from_weights(record.config, adapted.weights))

    def predict(digits: LabelledDigits) -> Predictions:
        return calibrated(digits, run(digits.pixels), adapted.temperature)

    return Reader(predict, adapted.threshold)


def _own_changes(version: StartVersion, own: OwnDigits, adapted: Adapted) -> dict[str, Change]:
    """What changed on the own pictures, each read by a network that had not learned it."""
    before, after = version.predict(own.digits), adapted.held_out
    was_refused, is_refused = before.novelty > version.threshold, ~adapted.is_answered
    digits, labels = np.flatnonzero(own.is_digit), own.digits.labels
    others = np.flatnonzero(~own.is_digit)
    is_right = np.where(own.is_digit, adapted.is_answered & (after.digit == labels), is_refused)

    def change(one: Any, other: Any, rows: Any) -> Change:
        return Change.of(one[rows], other[rows], own.groups[rows])

    found = {
        "answered rightly": change(answered_rightly(before, version.threshold), is_right, np.arange(len(own))),
        "accuracy": change(before.digit == labels, after.digit == labels, digits),
        "refused": change(was_refused, is_refused, digits),
    }
    if len(others):
        found["refused, of what is no digit"] = change(was_refused, is_refused, others)
    return found


def _explain(version: StartVersion, own: OwnDigits, adapted: Adapted, change: Change) -> None:
    """Say in words what the own pictures show, and how little they prove where they are few."""
    digits = np.flatnonzero(own.is_digit)
    losses = [
        metrics.negative_log_likelihood(each.probabilities[digits], own.digits.labels[digits])
        for each in (version.predict(own.digits), adapted.held_out)
    ]
    wrong = [round((1 - share) * change.pictures) for share in (change.before, change.after)]
    say(
        f"own pictures, held out: {wrong[0]:,} of {change.pictures:,} answered wrongly before, {wrong[1]:,} after;"
        f" loss of digits {losses[0]:.3f} before, {losses[1]:.3f} nats after"
    )
    evidence = f"{change.pictures:,} pictures" + ("" if own.by == "picture" else f" in {change.groups:,} groups")
    little = " That is little proof: more pictures narrow it." if change.high - change.low > WIDE else ""
    between = f"{100 * change.low:+.1f} and {100 * change.high:+.1f} points"
    say(f"the change lies between {between} (95 %, {evidence}).{little}")


def _table(own: Mapping[str, Change], others: Sequence[PopulationChange]) -> Table:
    table = Table("pictures", "before", "after", "points (95 %)", "")
    for measure, change in own.items():
        mark = "better" if measure == "answered rightly" and change.is_better else ""
        table.add_row(*_cells(f"own, held out: {measure}", change), mark)
    table.add_section()
    for each in others:
        mark = "worse" if each.is_worse else ""
        table.add_row(*_cells(f"{each.name}: {each.measure}", each.change), mark if each.decides else "information")
    return table


def _cells(name: str, change: Change) -> tuple[str, str, str, str]:
    interval = f"{100 * change.low:+.2f} to {100 * change.high:+.2f}"
    return f"{name} ({change.pictures:,})", f"{change.before:.2%}", f"{change.after:.2%}", interval


def _figures(change: Change) -> ChangeFigures:
    return {
        "pictures": change.pictures,
        "before": change.before,
        "after": change.after,
        "interval": [change.low, change.high],
    }


def _adaptation(
    version: StartVersion,
    own: OwnDigits,
    adapted: Adapted,
    wanted: AdaptConfig,
    own_changes: Mapping[str, Change],
    others: Sequence[PopulationChange],
    verdict: Verdict,
) -> Adaptation:
    populations: dict[str, dict[str, ChangeFigures]] = {}
    for each in others:
        populations.setdefault(each.name, {})[each.measure] = _figures(each.change)
    return {
        "start": {
            "name": version.metadata["name"],
            "version": version.metadata["version"],
            "sha256": version.metadata["files"]["model.onnx"],
        },
        "pictures": len(own),
        "digits": int(own.is_digit.sum()),
        "groups": own.count_of_groups,
        "by": own.by,
        "parts": adapted.parts,
        "sha256": own.sha256,
        "own_images": wanted.own_images,
        "interpolation": wanted.interpolation,
        "own": {measure: _figures(change) for measure, change in own_changes.items()},
        "populations": populations,
        "objections": list(verdict.objections),
    }


def _with(known: Populations, own: OwnDigits) -> Populations:
    """The populations of drift, and the user's: their digits are ordinary from now on."""
    return Populations({**known.digits, "own digits": own.digits.pixels[own.is_digit]}, known.pictures)
