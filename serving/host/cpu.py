"""Processors that this process may really use: affinity and cgroup quota count, not what the host has.

ONNX Runtime sizes its threads by the host's processors (microsoft/onnxruntime#29510), so the server sizes them itself.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

DRIVER_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of Linux, and of Linux in Windows


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Returns the number of processors this process may use, at least 1: its affinity, capped by its cgroup's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    # Rounded down: a second thread on 1.5 processors would be throttled for a quarter of every period.
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def _quota(cgroup: Path) -> float | None:
    """Returns the processors that the cgroup (version 2 or 1) grants; None where it sets no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):  # no limit, in version 2 and in version 1
        return None
    try:
        return float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None


def worker_count(requested: int, device: str) -> int:
    """Returns `requested`, or for 0 one worker for each usable processor, and a single one where `device` may be a GPU.

    Workers that share a GPU would each keep the model and cuDNN's workspaces there, and still take turns.
    """
    if requested:
        return requested
    return 1 if device == "cuda" or (device == "auto" and may_use_gpu()) else usable_cpus()


def may_use_gpu(runtime: Path | None = None, driver_files: Sequence[Path] = DRIVER_FILES) -> bool:
    """Tells if ONNX Runtime in the folder `runtime` (None: the installed one) is the GPU build, and a driver is there.

    Looks for files alone: loading the build takes 40 MB.
    """
    if runtime is None:
        package = find_spec("onnxruntime")
        if package is None or package.origin is None:
            return False
        runtime = Path(package.origin).parent
    is_gpu_build = (runtime / "capi" / "libonnxruntime_providers_cuda.so").exists()
    return is_gpu_build and has_driver(driver_files)


def has_driver(files: Sequence[Path] = DRIVER_FILES) -> bool:
    """Tells if NVIDIA's driver has a card for this process: the GPU build also runs where there is none."""
    return any(file.exists() for file in files)
