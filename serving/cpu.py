"""Which processors this process may really use, and how many.

ONNX Runtime counts the host's (microsoft/onnxruntime#29510).
"""

import os
import platform
from importlib.util import find_spec
from pathlib import Path


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors available to this process, at least 1: its affinity, capped by the cgroup's quota (v2 or v1)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def processor_name() -> str:
    """The processor's model, as far as it is told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _quota(cgroup: Path) -> float | None:
    """Processors that the cgroup grants, or None where it sets no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    try:
        return float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None


def worker_count(asked: int, device: str) -> int:
    """`asked`, or for 0 one worker for each usable processor; one in all where `device` may mean a GPU.

    Workers that share a GPU would each keep the model and cuDNN's workspaces there, and take turns all the same.
    """
    if asked:
        return asked
    return 1 if device == "cuda" or (device == "auto" and _has_cuda_provider()) else usable_cpus()


def _has_cuda_provider() -> bool:
    """Whether the installed ONNX Runtime is the GPU build. Looks, and does not load it: that takes 40 MB."""
    package = find_spec("onnxruntime")
    if package is None or package.origin is None:
        return False
    return (Path(package.origin).parent / "capi" / "libonnxruntime_providers_cuda.so").exists()
