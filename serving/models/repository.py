"""Finds model versions on disk and lets only sound ones through: checksums, signature, golden answers, warm-up.

What a check refuses, ModelRejectedError tells: by `check`, one of CHECKS, and in words.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from protos.inference.open_inference_pb2 import ModelConfig
from serving.errors import ModelRejectedError, NotExplainableError
from serving.files import FileStamp, file_stamp
from serving.models.checks import check_golden_answers, check_traced, warm_up
from serving.models.graph_layers import Layer, read_layers, with_outputs
from serving.models.onnx_session import OnnxModel, TracedModel
from serving.models.signature import verified_copy
from serving.predictions import BatchRows, Pixels, refusals
from serving.version_policy import ALL, LATEST, VersionPolicy

SCHEMA_VERSION = 1
# By precision: between float32 on another processor or device and what the training framework gave; and between 8-bit
# integers here and where they were recorded, as processors round their sums at different places.
GOLDEN_TOLERANCE = {"float32": 1e-3, "int8": 0.03}

CHECKS = ("missing", "unreadable", "metadata", "unsigned", "checksum", "graph", "golden", "warm_up", "slow")
CONFIG = "config.pbtxt"
INT8_SUFFIX = "-int8"  # of the name of a model that is another's int8 form

OpenModel = Callable[[bytes], OnnxModel]


@dataclass(frozen=True, slots=True)
class Form:
    """One graph by which a version can be served: its own, or the int8 form of the same training."""

    name: str
    version: int
    folder: Path
    metadata: dict[str, Any]  # metadata.json

    @property
    def precision(self) -> str:
        """float32 or int8, as metadata.json says."""
        return str(self.metadata.get("precision", "float32"))

    @property
    def sha256(self) -> str:
        """Of model.onnx, as metadata.json says."""
        return str(self.metadata["files"]["model.onnx"])


@dataclass(frozen=True, slots=True)
class Traced:
    """The same network by a graph that tells what each layer made."""

    layers: list[Layer]
    model: TracedModel


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version that passed every check and is warm."""

    model: OnnxModel
    name: str
    version: int
    created: str  # RFC 3339, UTC
    precision: str  # float32 or int8
    sha256: str  # of model.onnx
    novelty_threshold: float  # 0 to 1; above it an answer is refused
    test_accuracy: float  # 0 to 1, on MNIST's test set
    seconds_per_image: float = 0.0  # in a largest batch, as warming up took
    traced: "Traced | NotExplainableError" = NotExplainableError("it was loaded without its layers")

    def run(self, pixels: Pixels) -> BatchRows:
        """Answers for `pixels`, (n, 784) uint8, n at least 1, and which of them the service does not stand by."""
        answers = self.model.run(pixels)
        refused = refusals(pixels, answers.novelty, self.novelty_threshold)
        return BatchRows(answers.digit, answers.novelty, answers.probabilities, refused)


class ModelRepository:
    """The folder `<root>/<name>/<version>/`. Reads, never writes.

    With a `public_key`, a PEM file, versions must carry a signature made by its other half.
    """

    def __init__(self, root: Path, name: str, public_key: Path | None = None) -> None:
        self._name = name
        self.folder = root / name
        self._public_key = public_key

    def versions(self) -> list[int]:
        """Version numbers on disk, ascending. Raises ModelRejectedError where there is no repository."""
        try:
            return _versions(self.folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelRejectedError(
                f"there is no model {self._name} at {self.folder}: train one with `make train`, or name"
                " another model with --model-name, or another folder of models with --model-repository"
            ) from error
        except OSError as error:
            raise ModelRejectedError(f"{self.folder}: cannot be read: {error}", "unreadable") from error

    def wanted(self, policy: VersionPolicy | None, bad: Collection[int] = ()) -> list[int]:
        """The versions to serve, ascending, by `policy` or, where that is None, by what config.pbtxt says.

        Raises ModelRejectedError where there is no repository, or its config.pbtxt cannot be read.
        """
        return (policy or self.policy()).wanted(self.versions(), bad)

    def stamp(self, version: int) -> frozenset[tuple[str, FileStamp | None]]:
        """What differs when a file of the version was written: empty where there is none."""
        stamps = set()
        with suppress(OSError):
            for path in (self.folder / str(version)).iterdir():
                if path.suffix != ".json" or path.name == "metadata.json":  # and not what --tune remembers there
                    stamps.add((path.name, file_stamp(path)))
        return frozenset(stamps)

    def policy(self) -> VersionPolicy:
        """Triton's version_policy in config.pbtxt, so that both serve the same; the latest where there is none.

        Raises ModelRejectedError where config.pbtxt cannot be read.
        """
        path = self.folder / CONFIG
        try:
            config = text_format.Parse(path.read_text(), ModelConfig(), allow_unknown_field=True)
        except FileNotFoundError:
            return LATEST
        except (OSError, ValueError, text_format.ParseError) as error:
            raise ModelRejectedError(f"{path}: cannot be read: {error}", "unreadable") from error
        policy = config.version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "specific":
            return VersionPolicy(versions=tuple(policy.specific.versions))
        return VersionPolicy(ALL if kind == "all" else max(1, policy.latest.num_versions))

    def forms(self, version: int) -> dict[str, Form]:
        """By precision, what `version` (0: the highest) can be served by: its own graph first.

        The int8 form is a model of its own, `<name>-int8`, whose metadata.json tells of the same training run. Raises
        ModelRejectedError where the version is not there or its metadata.json cannot be read.
        """
        chosen = self._chosen(version)
        own = _form(self.folder / str(chosen), self._name, chosen)
        forms = {own.precision: own}
        int8 = self.folder.parent / f"{self._name}{INT8_SUFFIX}"
        with suppress(OSError):  # what is wrong with another model does not keep this one from serving
            for number in reversed(_versions(int8)):
                with suppress(ModelRejectedError):
                    form = _form(int8 / str(number), int8.name, number)
                    if _is_same_training(own, form):
                        forms.setdefault(form.precision, form)
        return forms

    def load(self, version: int, open_model: OpenModel, largest_batch: int, precision: str = "auto") -> ModelVersion:
        """Loads, checks and warms `version` (0: the highest), for batches up to `largest_batch`.

        `precision`: float32 or int8, or auto for that of the version's own graph. The int8 form is served under the
        name and version of the model that was asked for.

        Raises ModelRejectedError saying which check failed.
        """
        forms = self.forms(version)
        asked = next(iter(forms)) if precision == "auto" else precision
        own = next(iter(forms.values()))
        if asked not in forms:
            raise ModelRejectedError(f"{own.folder}: has no {asked} form, only {' and '.join(forms)}")
        if asked == own.precision:
            with self._trusted(own) as form:
                loaded = _load(form, open_model, largest_batch)
        else:
            with self._trusted(own) as trusted_own:
                own = trusted_own  # the answers are told under its name and version
            with self._trusted(forms[asked]) as form:
                if not _is_same_training(own, form):
                    raise ModelRejectedError("metadata.json changed while it was read", "metadata")
                loaded = _load(form, open_model, largest_batch)
        return replace(loaded, name=own.name, version=own.version)

    @contextmanager
    def _trusted(self, form: Form) -> Iterator[Form]:
        """The form; where a signature is asked for, as a copy that nobody changes once it is verified."""
        try:
            if self._public_key:
                with verified_copy(form.folder, self._public_key) as folder:
                    yield _form(folder, form.name, form.version)
            else:
                yield form
        except ModelRejectedError as error:
            raise ModelRejectedError(f"{form.folder}: {error}", error.check) from error
        except OSError as error:
            raise ModelRejectedError(f"{form.folder}: cannot be read: {error}", "unreadable") from error

    def _chosen(self, version: int) -> int:
        versions = self.versions()
        if not versions:
            raise ModelRejectedError(f"{self.folder} holds no version: train one with `make train`")
        chosen = version or versions[-1]
        if chosen not in versions:
            raise ModelRejectedError(f"{self.folder} holds no version {chosen}, only {', '.join(map(str, versions))}")
        return chosen


def _versions(folder: Path) -> list[int]:
    """Version numbers below a model's folder, ascending. Raises OSError."""
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name != "0")


def _form(folder: Path, name: str, version: int) -> Form:
    """What metadata.json tells, with its folder named in whatever is wrong with it."""
    try:
        metadata = _read_metadata(folder / "metadata.json")
        if (metadata["name"], metadata["version"]) != (name, version):
            raise ModelRejectedError(f"metadata.json is of {metadata['name']} version {metadata['version']}")
        str(metadata["files"]["model.onnx"])
        return Form(name, version, folder, metadata)
    except ModelRejectedError as error:
        raise ModelRejectedError(f"{folder}: {error}", "metadata") from error
    except OSError as error:
        raise ModelRejectedError(f"{folder}: cannot be read: {error}", "unreadable") from error
    except (KeyError, TypeError) as error:
        raise ModelRejectedError(f"{folder}: metadata.json lacks or garbles a field: {error!r}", "metadata") from error


def _is_same_training(own: Form, other: Form) -> bool:
    training = own.metadata.get("training")
    return bool(training) and other.metadata.get("training") == training


def _load(form: Form, open_model: OpenModel, largest_batch: int) -> ModelVersion:
    metadata, folder = form.metadata, form.folder
    try:
        files = {file: _read_checked(folder / file, metadata["files"][file]) for file in ("model.onnx", "golden.npz")}
        tolerance = GOLDEN_TOLERANCE[form.precision]
        loaded = ModelVersion(
            model=open_model(files["model.onnx"]),
            name=form.name,
            version=form.version,
            created=str(metadata["created"]),
            precision=form.precision,
            sha256=form.sha256,
            novelty_threshold=float(metadata["novelty_threshold"]),
            test_accuracy=float(metadata["metrics"]["mnist_test"]["accuracy"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelRejectedError(f"metadata.json lacks or garbles a field: {error!r}", "metadata") from error
    if not 0 <= loaded.novelty_threshold <= 1:
        threshold = loaded.novelty_threshold
        raise ModelRejectedError(f"metadata.json has novelty_threshold {threshold}, expected 0 to 1", "metadata")
    check_golden_answers(loaded.model, files["golden.npz"], tolerance, largest_batch)
    seconds_per_image = warm_up(loaded.model, largest_batch)
    return replace(loaded, seconds_per_image=seconds_per_image, traced=_traced(files["model.onnx"], loaded.model))


def _traced(graph: bytes, model: OnnxModel) -> "Traced | NotExplainableError":
    """What explains the answers of `model`, or why nothing does: it answers all the same."""
    try:
        layers = read_layers(graph)
        values = sorted({name for layer in layers for name in (layer.before_activation, layer.output) if name})
        traced = TracedModel(with_outputs(graph, values), values)
        check_traced(traced, model)
        return Traced(layers, traced)
    except ModelRejectedError as error:
        return NotExplainableError(str(error))
    except NotExplainableError as error:
        return error


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelRejectedError(f"metadata.json is no JSON: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("schema_version") != SCHEMA_VERSION:
        raise ModelRejectedError(f"metadata.json is not of schema_version {SCHEMA_VERSION}, which this server reads")
    return metadata


def _read_checked(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelRejectedError(
            f"{path.name} has SHA-256 {found}, metadata.json says {sha256}: the file was changed or cut", "checksum"
        )
    return content
