"""The surroundings of a run: Keras' backend, library versions, processor, git revision."""

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

from training.errors import ConfigError

_BACKENDS = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}  # and their libraries
_LIBRARIES = ("keras", "numpy", "onnx")
_UNKNOWN = "0" * 40


@dataclass(frozen=True, slots=True)
class GitState:
    """`revision` is 40 hexadecimal digits, all zeros outside a git checkout; `dirty`: files differ or are new."""

    revision: str
    dirty: bool


def keras_backend() -> str:
    """Keras' backend, `tensorflow` or `jax`, as KERAS_BACKEND names it; `training/__init__.py` sets it.

    Raises:
        ConfigError: it names another.
    """
    name = os.environ["KERAS_BACKEND"]
    if name not in _BACKENDS:
        raise ConfigError(f"KERAS_BACKEND = {name!r} must be one of {', '.join(_BACKENDS)}")
    return name


def require_tensorflow(what: str) -> None:
    """Raises ConfigError where Keras' backend is another than TensorFlow; `what` needs it."""
    if keras_backend() != "tensorflow":
        raise ConfigError(f"{what} needs TensorFlow: unset KERAS_BACKEND, which is {keras_backend()!r}")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute, by name."""
    names = (*_LIBRARIES, *_BACKENDS[keras_backend()])
    return {**{name: _version(name) for name in names}, "python": platform.python_version()}


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
