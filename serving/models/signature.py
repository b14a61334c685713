"""Whether a model version is signed by whom it should be: OpenSSF model-signing, with a key pair and no network."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from serving.errors import ModelRejectedError

SIGNATURE = "model.sig"
NOT_SIGNED = "tuning.json"  # written beside the model, by each server for itself
VERIFY_SECONDS = 60.0


@contextmanager
def verified_copy(folder: Path, public_key: Path) -> Iterator[Path]:
    """A private copy of a version whose every file is signed, for as long as the block runs.

    The copy is what was verified, whatever happens to the folder meanwhile. Raises ModelRejectedError, or OSError.
    """
    if find_spec("model_signing") is None:
        raise ModelRejectedError(
            "signatures are asked for and model-signing is not installed: pip install -r requirements/signing.txt",
            "unsigned",
        )
    if not (folder / SIGNATURE).is_file():
        raise ModelRejectedError(f"there is no {SIGNATURE}: sign it (docs/operations.md)", "unsigned")
    with TemporaryDirectory(prefix="mnist-model-") as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(NOT_SIGNED))
        _verify(copy, public_key)
        yield copy


def _verify(folder: Path, public_key: Path) -> None:
    """By model-signing's own command: in a process of its own, the 60 MB that it takes are gone afterwards."""
    options = ["--signature", str(folder / SIGNATURE), "--public_key", str(public_key)]
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERIFY_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelRejectedError(f"its signature was not verified within {VERIFY_SECONDS:g} s", "unsigned") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ModelRejectedError(
            f"its signature was not made by the key of {public_key}, or a file was changed: {said[-1] if said else ''}",
            "unsigned",
        )
