"""Verifies the signature of a model version: OpenSSF model-signing, with a key pair and without network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from serving.errors import ModelRejectedError
from serving.files import read_regular

SIGNATURE = "model.sig"
NOT_SIGNED = "tuning.json"  # earlier releases wrote it next to the model, after signing
VERIFY_SECONDS = 60.0  # longest time for one version
# Of a version, before anything of it is known to be signed.
MOST_BYTES = 2**27
MOST_SIGNATURE_BYTES = 2**20
MOST_FILES = 100


@contextmanager
def verified_copy(folder: Path, public_key: Path) -> Iterator[Path]:
    """Yields a private copy of a version, every file of which is signed; the copy is deleted at the end of the block.

    The copy is what is verified: a later change of the folder has no effect. Raises ModelRejectedError or OSError.
    """
    if find_spec("model_signing") is None:
        raise ModelRejectedError(
            "signatures are required and model-signing is not installed: pip install -r requirements/signing.txt",
            "unsigned",
        )
    if not (folder / SIGNATURE).is_file():
        raise ModelRejectedError(f"there is no {SIGNATURE}: sign it (docs/operations.md)", "unsigned")
    with TemporaryDirectory(prefix="mnist-model-") as temporary:
        copy = Path(temporary) / folder.name
        _copy(folder, copy)
        _verify(copy, public_key)
        yield copy


def _copy(folder: Path, copy: Path) -> None:
    """Copies the files of a version, which has no folders. Raises ModelRejectedError or OSError."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, MOST_FILES + 1) if entry.name != NOT_SIGNED]
    if len(names) > MOST_FILES:
        raise ModelRejectedError(f"it holds more than {MOST_FILES} files", "unsigned")
    copy.mkdir()
    left = MOST_BYTES
    for name in names:
        content = read_regular(folder / name, min(left, MOST_SIGNATURE_BYTES) if name == SIGNATURE else left)
        (copy / name).write_bytes(content)
        left -= len(content)


def _verify(folder: Path, public_key: Path) -> None:
    """Runs model-signing's own command: the 60 MB that the library takes are freed with the process."""
    options = ["--signature", str(folder / SIGNATURE), "--public_key", str(public_key)]
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=VERIFY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRejectedError(f"its signature was not verified within {VERIFY_SECONDS:g} s", "unsigned") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1] if lines else ""
        raise ModelRejectedError(
            f"its signature was not made by the key of {public_key}, or a file was changed: {reason}",
            "unsigned",
        )
