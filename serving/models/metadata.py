"""Reads metadata.json, which describes a model version: its name, precision, files and training run.

Anybody who can write into the model's folder writes this file. So every field that is used is checked, before it
reaches a message, a log or a metric.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.drift.reference import FILE as DRIFT
from serving.errors import ModelRejectedError
from serving.files import read_regular
from serving.models.quality import Figure, read_figures

SCHEMA_VERSION = 1
MOST_BYTES = 2**18  # of metadata.json; a usual one has 7,000
MOST_TEXT = 100  # characters of a text in it
FILES = ("model.onnx", "golden.npz")
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True, slots=True)
class Form:
    """Graph that can serve a version: the version's own, or the int8 form of the same training run."""

    folder: Path
    name: str  # of the model in whose folder it is: the int8 form has a name of its own
    version: int
    created: str  # RFC 3339, UTC
    precision: str  # of the weights, float32 or int8
    checksums: dict[str, str]  # SHA-256 by the name of the file, one of FILES; 64 hexadecimal digits
    novelty_threshold: float  # 0 to 1
    test_accuracy: float  # 0 to 1
    training: Any  # what metadata.json records of the training run; of a cascade also which versions were joined
    figures: Mapping[str, Figure] = field(default_factory=dict)  # of its quality, by name
    drift_checksum: str | None = None  # SHA-256 of drift.json; None: the version has no reference of drift

    def has_training_of(self, other: "Form") -> bool:
        """Returns True when both forms come from the same training run."""
        # Of two without a record of their training nothing is known: they do not count as the same.
        return bool(self.training) and other.training == self.training


def read_form(folder: Path, name: str | None, version: int) -> Form:
    """Reads and checks metadata.json in `folder`. `name`: of the model that it must be of; None: of any.

    Raises ModelRejectedError, and OSError where it cannot be read.
    """
    metadata = _read_metadata(folder / "metadata.json")
    try:
        if name is None:
            name = _text("name", metadata["name"])
        if (metadata["name"], metadata["version"]) != (name, version):
            raise ModelRejectedError(
                f"metadata.json is of {metadata['name']} version {metadata['version']}, expected {name} version "
                f"{version}",
                "metadata",
            )
        return Form(
            folder,
            name,
            version,
            _text("created", metadata["created"]),
            _text("precision", metadata.get("precision", "float32"), "|".join(PRECISIONS)),
            {file: _text(file, metadata["files"][file], "[0-9a-f]{64}") for file in FILES},
            _share("novelty_threshold", metadata["novelty_threshold"]),
            _share("accuracy", metadata["metrics"]["mnist_test"]["accuracy"]),
            _origin(metadata),
            _figures(metadata),
            _drift_checksum(metadata["files"]),
        )
    except (KeyError, TypeError, RecursionError) as error:  # the last where a nested value is to be shown
        raise ModelRejectedError(f"metadata.json lacks or garbles a field: {error!r}", "metadata") from error


def _origin(metadata: dict[str, Any]) -> Any:
    """Returns what two forms of one version have in common and no other version has."""
    training, cascade = metadata.get("training"), metadata.get("cascade")
    if not (training and cascade):
        return training
    stages = [[cascade[place][key] for key in ("name", "version", "sha256")] for place in ("fast", "second")]
    return [training, stages]


def _figures(metadata: dict[str, Any]) -> Mapping[str, Figure]:
    try:
        return read_figures(metadata)
    except (ValueError, AttributeError) as error:
        raise ModelRejectedError(f"metadata.json has figures that are none: {error}", "metadata") from error


def _drift_checksum(files: dict[str, Any]) -> str | None:
    return _text(DRIFT, files[DRIFT], "[0-9a-f]{64}") if DRIFT in files else None


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(read_regular(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:  # the latter for thousands of nested brackets
        raise ModelRejectedError(f"metadata.json is no JSON: {error}", "metadata") from error
    if not isinstance(metadata, dict) or metadata.get("schema_version") != SCHEMA_VERSION:
        raise ModelRejectedError(
            f"metadata.json is not of schema_version {SCHEMA_VERSION}, which this server reads", "metadata"
        )
    return metadata


def _text(field: str, value: object, pattern: str = "") -> str:
    """Returns a text that every protocol can carry, of the `pattern` if there is one. Raises ModelRejectedError."""
    if not (isinstance(value, str) and len(value) <= MOST_TEXT and value.isprintable()):
        raise ModelRejectedError(
            f"metadata.json has no text of at most {MOST_TEXT} printable characters as {field}", "metadata"
        )
    if pattern and not re.fullmatch(pattern, value):
        raise ModelRejectedError(f"metadata.json has {field} {value}, expected {pattern}", "metadata")
    return value


def _share(field: str, value: object) -> float:
    """Returns a number from 0 to 1. Raises ModelRejectedError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # also for NaN
        raise ModelRejectedError(f"metadata.json has {field} {value!r}, expected a number from 0 to 1", "metadata")
    return float(value)
