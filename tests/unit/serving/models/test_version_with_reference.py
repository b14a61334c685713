"""A version's reference of drift is part of the version: covered by a checksum, and refused where it is damaged."""

import hashlib
import json
from pathlib import Path

import pytest

from serving.drift.reference import FILE
from serving.errors import ModelRejectedError
from tests.support.tiny_model import load_version, rewrite_metadata, write_tiny_version

SOUND = b'{"schema_version": 1, "features": {"ink": {"edges": [0.1], "populations": {"a": [3, 1]}}}}'


def with_reference(root: Path, content: bytes) -> Path:
    """Writes a tiny version whose metadata.json names drift.json with this content."""
    folder = write_tiny_version(root)
    files = json.loads((folder / "metadata.json").read_text())["files"]
    (folder / FILE).write_bytes(content)
    rewrite_metadata(folder, files=files | {FILE: hashlib.sha256(content).hexdigest()})
    return folder


def test_a_reference_that_metadata_names_is_loaded(tmp_path: Path) -> None:
    with_reference(tmp_path, SOUND)
    reference = load_version(tmp_path).drift
    assert reference is not None
    assert reference.features["ink"].populations == {"a": (3, 1)}


def test_a_version_without_a_reference_is_served_as_before(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    (folder / FILE).write_bytes(SOUND)  # which metadata.json does not name, so nothing vouches for it
    assert load_version(tmp_path).drift is None


def test_a_reference_that_was_changed_or_is_missing_is_refused(tmp_path: Path) -> None:
    folder = with_reference(tmp_path, SOUND)
    (folder / FILE).write_bytes(SOUND + b" ")
    with pytest.raises(ModelRejectedError, match=r"drift\.json has SHA-256") as refused:
        load_version(tmp_path)
    assert refused.value.check == "checksum"
    (folder / FILE).unlink()
    with pytest.raises(ModelRejectedError) as refused:
        load_version(tmp_path)
    assert refused.value.check == "unreadable"


@pytest.mark.parametrize("content", [b"", b"no JSON", SOUND.replace(b"3", b"-3"), b" " * (2**18 + 1)])
def test_a_reference_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes) -> None:
    with_reference(tmp_path, content)
    with pytest.raises(ModelRejectedError) as refused:
        load_version(tmp_path)
    assert refused.value.check in ("metadata", "unreadable")
