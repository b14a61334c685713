"""Splits a file into parts with their checksums, and joins them again, for machines that are reached in small steps."""

import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"  # in the folder of every part: name and SHA-256 of the file, and of each part


class PartsError(Exception):
    """Parts are missing, or differ from what was split."""


def split(file: Path, folder: Path, part_bytes: int) -> list[Path]:
    """Writes `folder`/part-00, part-01, ... with at most `part_bytes` each; returns the folders.

    Each is a folder of its own with one part and the manifest, so that it can be carried alone.
    """
    content = file.read_bytes()
    parts = [content[at : at + part_bytes] for at in range(0, len(content), part_bytes)]
    names = [f"part-{number:02}" for number in range(len(parts))]
    sums = {name: hashlib.sha256(part).hexdigest() for name, part in zip(names, parts, strict=True)}
    manifest = json.dumps({"name": file.name, "sha256": hashlib.sha256(content).hexdigest(), "parts": sums}, indent=1)
    for name, part in zip(names, parts, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / name).write_bytes(part)
        (folder / name / MANIFEST).write_text(manifest)
    return [folder / name for name in names]


def join(folder: Path, target: Path) -> Path:
    """Joins the parts anywhere below `folder` into `target` under the name of the file that was split; returns it.

    Raises PartsError where a part is missing or another, or the whole is.
    """
    manifests = sorted(folder.rglob(MANIFEST))
    if not manifests:
        raise PartsError(f"{folder}: there is no {MANIFEST}, so no part has arrived")
    manifest = json.loads(manifests[0].read_text())
    whole, joined = hashlib.sha256(), target / str(manifest["name"])
    target.mkdir(parents=True, exist_ok=True)
    with joined.open("wb") as output:
        for name, expected in sorted(manifest["parts"].items()):
            path = next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)
            if path is None:
                raise PartsError(f"{name} of {manifest['name']} is missing below {folder}")
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != expected:
                raise PartsError(f"{path} has another SHA-256 than when it was split: carry it again")
            whole.update(content)
            output.write(content)
    if whole.hexdigest() != manifest["sha256"]:
        raise PartsError(f"{joined} has another SHA-256 than {manifest['name']} had")
    return joined
