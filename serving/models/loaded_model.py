"""Loaded model version: read from disk, checked against its checksums and golden answers, warmed up, ready to run."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from serving.drift.reference import FILE as DRIFT_FILE
from serving.drift.reference import MOST_BYTES as MOST_DRIFT_BYTES
from serving.drift.reference import DriftReference, DriftReferenceError, read_reference
from serving.errors import ModelRejectedError, NotExplainableError
from serving.files import read_regular
from serving.models.checks import check_explaining_graph, check_golden_answers, check_is_whole, warm_up
from serving.models.device import Session
from serving.models.graph_layers import FAST, Layer, read_layers, second_stage, values_of, with_outputs
from serving.models.metadata import FILES, Form
from serving.models.onnx_session import ExplainingSession
from serving.models.quality import Figure
from serving.predictions import BatchPredictions, Pixels

# Largest difference from the recorded answers. Another processor or device than the training framework's rounds
# float32 differently; int8 differs more, since processors round integer sums at different places (decision 0014).
GOLDEN_TOLERANCE = {"float32": 1e-3, "int8": 0.03}

MOST_FILE_BYTES = 2**26  # of model.onnx or golden.npz; those of the largest committed model have 3 MB and 55 kB

OpenSession = Callable[[bytes, str], Session]  # takes the bytes of model.onnx and its precision


@dataclass(frozen=True, slots=True)
class ExplainingGraph:
    """Served network as a graph that also returns the output of each layer."""

    layers: list[Layer]
    session: ExplainingSession
    second: "ExplainingGraph | None" = None  # of a cascade: the network that answers where `unsure` is 1


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Model version that passed every check and is warm."""

    session: Session
    name: str
    version: int
    created: str  # RFC 3339, UTC
    precision: str  # float32 or int8
    sha256: str  # of model.onnx
    novelty_threshold: float  # 0 to 1; predictions with a higher novelty are refused
    test_accuracy: float  # 0 to 1, on MNIST's test set, as metadata.json records it
    seconds_per_image: float = 0.0  # in a largest batch, measured at warm-up
    figures: Mapping[str, Figure] = field(default_factory=dict)  # of its quality, by name, as metadata.json records
    explaining: ExplainingGraph | NotExplainableError = NotExplainableError("it was loaded without its layers")
    drift: DriftReference | None = None  # None: the version has none

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, n at least 1, with the refusals and the version set."""
        predictions = self.session.run(pixels)
        predictions.refuse(pixels, self.novelty_threshold)
        predictions.version = self.version
        return predictions


def load_form(form: Form, open_session: OpenSession, largest_batch: int) -> LoadedModel:
    """Loads, checks and warms up the graph of `form` for batches of up to `largest_batch` images.

    Raises ModelRejectedError, and OSError for files that cannot be read.
    """
    # Each file is read once, and what was read is hashed and used: a file that changes meanwhile cannot slip through.
    graph, golden = (_read_checked(form.folder / file, form.checksums[file]) for file in FILES)
    check_is_whole(graph)
    session = open_session(graph, form.precision)
    check_golden_answers(session, golden, GOLDEN_TOLERANCE[form.precision], largest_batch)
    return LoadedModel(
        session=session,
        name=form.name,
        version=form.version,
        created=form.created,
        precision=form.precision,
        sha256=form.checksums["model.onnx"],
        novelty_threshold=form.novelty_threshold,
        test_accuracy=form.test_accuracy,
        seconds_per_image=warm_up(session, largest_batch),
        figures=form.figures,
        explaining=_explaining_graph(graph, session),
        drift=_drift_reference(form),
    )


def _drift_reference(form: Form) -> DriftReference | None:
    """Reads the version's reference of drift, if it has one. Raises ModelRejectedError for a damaged one."""
    if form.drift_checksum is None:
        return None
    try:
        path = form.folder / DRIFT_FILE
        return read_reference(_read_checked(path, form.drift_checksum, MOST_DRIFT_BYTES))
    except DriftReferenceError as error:
        raise ModelRejectedError(str(error), "metadata") from error


def _explaining_graph(graph: bytes, session: Session) -> ExplainingGraph | NotExplainableError:
    """Returns the explaining graph of `session`, or the reason why there is none: the version is served without it."""
    try:
        explaining = _with_layers(graph)
        is_cascade = explaining.layers[-1].name.startswith(FAST)
        second = _with_layers(second_stage(graph)) if is_cascade else None
        check_explaining_graph(explaining.session, session, second.session if second else None)
        return replace(explaining, second=second)
    except ModelRejectedError as error:
        return NotExplainableError(str(error))
    except NotExplainableError as error:
        return error


def _with_layers(graph: bytes) -> ExplainingGraph:
    """Opens a serialised graph with its layers' values. Raises NotExplainableError or ModelRejectedError."""
    layers = read_layers(graph)
    values = values_of(layers)
    return ExplainingGraph(layers, ExplainingSession(with_outputs(graph, values), values))


def _read_checked(path: Path, sha256: str, most_bytes: int = MOST_FILE_BYTES) -> bytes:
    """Returns the file's content. Raises ModelRejectedError where its checksum is another."""
    content = read_regular(path, most_bytes)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelRejectedError(
            f"{path.name} has SHA-256 {found}, metadata.json says {sha256}: the file was changed or cut", "checksum"
        )
    return content
