"""The folder that servers load versions from: the next free version, written in one step, and Triton's config."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from training.errors import ExportError
from training.export.metadata import Metadata
from training.export.model_card import model_card
from training.files import folder_in_one_step, write_atomically

# `reshape` with an empty shape: Triton's dims may not be empty, but these outputs are one number for each image.
_CONFIG = """\
# So that Triton Inference Server can serve the very same repository. Our own server reads version_policy alone.
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 1024
input [
  { name: "pixels" data_type: TYPE_UINT8 dims: [ 784 ] }
]
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] },
  { name: "digit" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } },
  { name: "novelty" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }
]
dynamic_batching { }
"""


def next_version(repository: Path, name: str) -> int:
    """One more than the highest version there is; 1 in an empty or missing repository."""
    folder = repository / name
    taken = [int(each.name) for each in folder.glob("*") if each.name.isdecimal()] if folder.exists() else []
    return max(taken, default=0) + 1


def read_version(folder: Path) -> tuple[bytes, Metadata]:
    """The graph and the metadata of a version on disk.

    Raises:
        ExportError: its files are missing or not those that its metadata names.
    """
    try:
        metadata = cast(Metadata, json.loads((folder / "metadata.json").read_bytes()))
        graph = (folder / "model.onnx").read_bytes()
        recorded = metadata["files"]["model.onnx"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder} is no model version that can be read: {error!r}") from error
    if hashlib.sha256(graph).hexdigest() != recorded:
        raise ExportError(f"{folder}/model.onnx is not the file that its metadata.json names")
    return graph, metadata


def write_described(repository: Path, metadata: Metadata, files: Mapping[str, bytes]) -> Path:
    """Write a version with its metadata.json and its card; arguments and errors as for `write_version`."""
    described = {
        **files,
        "metadata.json": (json.dumps(metadata, indent=2) + "\n").encode(),
        "MODEL_CARD.md": model_card(metadata).encode(),
    }
    return write_version(repository, metadata["name"], metadata["version"], described)


def write_version(repository: Path, name: str, version: int, files: Mapping[str, bytes]) -> Path:
    """Write the files of a version of the model `name` into a folder that appears complete; its path.

    Raises:
        ExportError: the version is there already, or the repository cannot be written.
    """
    folder = repository / name / str(version)
    try:
        with folder_in_one_step(folder) as temporary:
            for file, content in files.items():
                (temporary / file).write_bytes(content)
        config = repository / name / "config.pbtxt"
        if not config.exists():
            write_atomically(config, _CONFIG.replace("{name}", name).encode())
    except OSError as error:
        raise ExportError(
            f"cannot write the model version {folder}: {error.strerror}. Nothing was left there;"
            " free its place, or choose another repository with --model-repository"
        ) from error
    return folder
