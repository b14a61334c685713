"""The surroundings of a run: threads, deterministic kernels, library versions, processor, git revision.

TensorFlow is imported inside functions only, so that `--help` and the data commands need not wait for it.
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from training.errors import RunError

_LIBRARIES = ("keras", "numpy", "onnx", "tensorflow")
_UNKNOWN = "0" * 40


@dataclass(frozen=True, slots=True)
class GitState:
    """`revision` is 40 hexadecimal digits, all zeros outside a git checkout; `dirty`: files differ or are new."""

    revision: str
    dirty: bool


def make_deterministic(threads: int) -> None:
    """Pin TensorFlow's threads and choose kernels that always give the same bits. Before anything is computed.

    Raises:
        RunError: TensorFlow has already started with another number of threads.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise RunError(f"threads = {threads} comes too late: TensorFlow already runs in this process") from error
    tf.config.experimental.enable_op_determinism()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute, by name."""
    return {**{name: _version(name) for name in _LIBRARIES}, "python": platform.python_version()}


def processor() -> str:
    """The processor's model, if the system names it; equal weights are promised for one model only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def current_git_state(folder: Path = Path(__file__).parent) -> GitState:
    """The state of the checkout that `folder` is in; unknown code counts as dirty."""
    try:
        revision = _git(folder, "rev-parse", "HEAD").strip()
        return GitState(revision, dirty=bool(_git(folder, "status", "--porcelain").strip()))
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or no commit yet
        return GitState(_UNKNOWN, dirty=True)


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what native code writes to file descriptor 2 inside the block; show it only if the block raises.

    TF_CPP_MIN_LOG_LEVEL does not reach these lines: TensorFlow writes them before its logging has started.
    """
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def _version(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):  # TensorFlow for CPUs is a distribution of another name
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
