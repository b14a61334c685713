"""Reads metadata.json, which describes a model version: its name, precision, files and training run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import ModelRejectedError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Form:
    """Graph that can serve a version: the version's own, or the int8 form of the same training run."""

    name: str  # of the model in whose folder it is: the int8 form has a name of its own
    version: int
    folder: Path
    metadata: dict[str, Any]  # metadata.json

    @property
    def precision(self) -> str:
        """Precision of the weights, float32 or int8."""
        return str(self.metadata.get("precision", "float32"))

    @property
    def sha256(self) -> str:
        """SHA-256 of model.onnx as metadata.json records it, 64 hexadecimal digits."""
        return str(self.metadata["files"]["model.onnx"])

    def has_training_of(self, other: "Form") -> bool:
        """Returns True when both forms come from the same training run."""
        training = self.metadata.get("training")
        # Of two without a record of their training nothing is known: they do not count as the same.
        return bool(training) and other.metadata.get("training") == training


def read_form(folder: Path, name: str, version: int) -> Form:
    """Reads metadata.json in `folder`. Raises ModelRejectedError, which names the folder and the fault."""
    try:
        metadata = _read_metadata(folder / "metadata.json")
        if (metadata["name"], metadata["version"]) != (name, version):
            raise ModelRejectedError(f"metadata.json is of {metadata['name']} version {metadata['version']}")
        str(metadata["files"]["model.onnx"])  # raises where it is missing, which Form.sha256 relies on
        return Form(name, version, folder, metadata)
    except ModelRejectedError as error:
        raise ModelRejectedError(f"{folder}: {error}", "metadata") from error
    except OSError as error:
        raise ModelRejectedError(f"{folder}: cannot be read: {error}", "unreadable") from error
    except (KeyError, TypeError) as error:
        raise ModelRejectedError(f"{folder}: metadata.json lacks or garbles a field: {error!r}", "metadata") from error


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # the latter for thousands of nested brackets
        raise ModelRejectedError(f"metadata.json is no JSON: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("schema_version") != SCHEMA_VERSION:
        raise ModelRejectedError(f"metadata.json is not of schema_version {SCHEMA_VERSION}, which this server reads")
    return metadata
