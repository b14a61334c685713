"""What a run depends on besides its settings: threads, deterministic kernels, versions, processor."""

import platform
from importlib import metadata
from pathlib import Path

import tensorflow as tf

from training.errors import RunError

_LIBRARIES = ("keras", "numpy", "onnx", "tensorflow")


def make_deterministic(threads: int) -> None:
    """Pin TensorFlow's threads and choose kernels that always give the same bits. Before anything is computed.

    Raises:
        RunError: TensorFlow has already started with another number of threads.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise RunError(f"threads = {threads} comes too late: TensorFlow already runs in this process") from error
    tf.config.experimental.enable_op_determinism()


def library_versions() -> dict[str, str]:
    """Versions of what computes, by name."""
    return {**{name: _version(name) for name in _LIBRARIES}, "python": platform.python_version()}


def processor() -> str:
    """The processor's model, as far as it is told; equal weights are promised for one model only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):  # TensorFlow for CPUs is a distribution of another name
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
