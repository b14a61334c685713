"""Reference of drift of a model version: histograms of what it saw on known populations, as drift.json.

The server compares its traffic with them. Bins are the same for every version, at limits that mean something: half a
pixel of position, a tenth of the refusals.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.arrays import Pixels
from training.data.preprocessing import measure_pictures, measure_pixels
from training.errors import ExportError
from training.export.checks import runtime_session
from training.export.model_card import model_card
from training.export.model_repository import read_version
from training.files import write_atomically

FILE = "drift.json"
SCHEMA_VERSION = 1
# Upper limits of bins, inclusive, by feature, in the units of serving.drift.reference; the last bin has none.
EDGES: Mapping[str, tuple[float, ...]] = {
    "digit": tuple(range(9)),
    "confidence": (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999),
    "novelty": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.9),
    "ink": (0.02, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.18, 0.22, 0.3, 0.5),
    "level": (50, 100, 150, 200, 225, 245, 254),
    "stroke_width": (1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.5),
    "size": (14, 17, 18, 19, 20, 21, 23, 26),
    "row": (10.0, 12.0, 13.0, 13.5, 14.0, 14.5, 15.0, 16.0, 18.0),
    "column": (10.0, 12.0, 13.0, 13.5, 14.0, 14.5, 15.0, 16.0, 18.0),
    "slant": (-0.6, -0.3, -0.15, -0.05, 0.05, 0.15, 0.3, 0.45, 0.6, 0.8, 1.1),
    "aspect": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95, 1.2),
    "remark": tuple(range(5)),
    "polarity": (0,),
    "contrast": (30, 50, 80, 110, 140, 170, 200, 230, 254),
    "picture_stroke_width": (0.6, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2, 3.8, 4.6),
}
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Populations:
    """Known populations by name: framed digits (n, 784) uint8, and pictures before framing (n, h, w) uint8."""

    digits: Mapping[str, Pixels]
    pictures: Mapping[str, npt.NDArray[np.uint8]]


def write_reference(folder: Path, populations: Populations) -> None:
    """Write drift.json into the folder of a model version, and its checksum into metadata.json and the card.

    Raises:
        ExportError: the version cannot be read or written, or model.onnx is not the one of its metadata.json.
        DataError: the server's measuring cannot run.
    """
    graph, metadata = read_version(folder)
    content = reference_file(graph, populations)
    metadata["files"][FILE] = hashlib.sha256(content).hexdigest()
    try:
        # In this order: a server that reads in between passes over a file that metadata.json does not name.
        write_atomically(folder / FILE, content)
        write_atomically(folder / "metadata.json", (json.dumps(metadata, indent=2) + "\n").encode())
        write_atomically(folder / "MODEL_CARD.md", model_card(metadata).encode())
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror}") from error


def reference_file(graph: bytes, populations: Populations) -> bytes:
    """The content of drift.json for a graph: histograms by feature and population, a line for each.

    Raises:
        DataError: the server's measuring cannot run.
    """
    histograms: dict[str, dict[str, list[int]]] = {name: {} for name in EDGES}
    for population, pixels in populations.digits.items():
        for name, values in {**_predicted(graph, pixels), **measure_pixels(pixels)}.items():
            histograms[name][population] = histogram(name, values)
    for population, pictures in populations.pictures.items():
        for name, values in measure_pictures(pictures).items():
            histograms[name][population] = histogram(name, values)
    features = {name: {"edges": EDGES[name], "populations": found} for name, found in histograms.items() if found}
    return _lines({"schema_version": SCHEMA_VERSION, "features": features}).encode()


def histogram(feature: str, values: npt.NDArray[Any]) -> list[int]:
    """The number of values, (n,), in each bin of a feature; those that are no number are left out."""
    edges = EDGES[feature]
    inside = np.searchsorted(np.array(edges, values.dtype), values[np.isfinite(values)])
    counts: list[int] = np.bincount(inside, minlength=len(edges) + 1).tolist()
    return counts


def _predicted(graph: bytes, pixels: Pixels) -> dict[str, npt.NDArray[Any]]:
    session, names = runtime_session(graph), ["probabilities", "digit", "novelty"]
    parts = [session.run(names, {"pixels": pixels[at : at + _BATCH]}) for at in range(0, len(pixels), _BATCH)]
    probabilities, digit, novelty = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"digit": digit, "confidence": probabilities.max(axis=1), "novelty": novelty}


def _lines(reference: dict[str, Any]) -> str:
    """JSON with a line for each histogram: a line for each number would be a thousand."""
    features = []
    for name, feature in reference["features"].items():
        populations = ",\n".join(
            f"    {json.dumps(key)}: {json.dumps(found)}" for key, found in feature["populations"].items()
        )
        edges = json.dumps(feature["edges"])
        features.append(f'  "{name}": {{"edges": {edges}, "populations": {{\n{populations}\n  }}}}')
    joined = ",\n".join(features)
    return f'{{"schema_version": {reference["schema_version"]}, "features": {{\n{joined}\n}}}}\n'
