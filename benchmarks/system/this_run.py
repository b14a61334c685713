"""Date, machine and versions of a measurement, so that its figures can be made again."""

import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("grpcio", "onnxruntime", "uvloop", "protobuf", "numpy")


def about_this_run(options: Mapping[str, object]) -> dict[str, Any]:
    """Date, machine, versions and `options` of this run, so that its figures can be made again."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        **options,
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()
