"""The card and the machine around it: names, versions, memory."""

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "onnxruntime", "onnxruntime-gpu", "numpy", "grpcio", "protobuf", "uvicorn", "click", "structlog",
    "pillow", "prometheus-client", "torch", "keras", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime",
    "nvidia-curand", "nvidia-cufft",
)  # fmt: skip
_SMI_FIELDS = "name,driver_version,memory.total,memory.used,compute_cap,pcie.link.gen.current,clocks.sm"


def machine() -> dict[str, Any]:
    """Names and versions of the processor, the card and the packages, as far as they can be read."""
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "card": smi(),
        "packages": {name: _version(name) for name in PACKAGES},
        "tools": {name: shutil.which(name) for name in ("h2load", "git", "nvidia-smi")},
        "path": sys.path,
        "library_path": os.environ.get("LD_LIBRARY_PATH", ""),
    }


def smi() -> str:
    """What nvidia-smi says of the card, one line; empty where there is none."""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", f"--query-gpu={_SMI_FIELDS}", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    return ""


def card_memory_mib() -> float | None:
    """MiB of the card's memory that all processes use; None where there is no card."""
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return float(subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0])
    return None


def memory_mib() -> dict[str, float | None]:
    """Memory of this process and of the card."""
    return {"process_rss": psutil.Process().memory_info().rss / 2**20, "card_used": card_memory_mib()}


def _processor() -> str:
    with suppress(OSError, IndexError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor()


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None
