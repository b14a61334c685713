"""NVIDIA's libraries: loads those that pip installed, names the card, and pins memory for fast copies."""

import ctypes
import mmap
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from serving.predictions import PIXELS, Pixels

# In the order of their needs. onnxruntime-gpu on PyPI is built for CUDA 13; it opens the last three itself.
LIBRARIES = (
    "libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libnvrtc.so.13", "libcufft.so.12",
    "libcudnn.so.9",
)  # fmt: skip
_NAME_BYTES = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE


def preload(folders: Sequence[str] | None = None) -> dict[str, str]:
    """Loads LIBRARIES from `<folder>/nvidia/*/lib` of `folders` (None: sys.path), or else where the system finds them.

    The system's loader does not search Python's folders, and what is loaded once is found by its name. Returns the
    path of each library: empty where it was found nowhere, its bare name where the system found it.
    """
    found = {}
    for name in LIBRARIES:
        paths = [
            str(path) for folder in folders or sys.path for path in sorted(Path(folder).glob(f"nvidia/*/lib/{name}"))
        ]
        found[name] = next((path for path in [*paths, name] if _loads(path)), "")
    return found


def card_name() -> str:
    """Returns the name of the first card by NVIDIA's management library; empty where there is none."""
    with suppress(OSError, AttributeError):
        nvml, device, name = (
            ctypes.CDLL("libnvidia-ml.so.1"),
            ctypes.c_void_p(),
            ctypes.create_string_buffer(_NAME_BYTES),
        )
        if (
            nvml.nvmlInit_v2() == 0
            and nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) == 0
            and nvml.nvmlDeviceGetName(device, name, _NAME_BYTES) == 0
        ):
            return name.value.decode(errors="replace")
    return ""


def pinned_pixels(rows: int) -> tuple[Pixels, bool]:
    """Returns zeros, (rows, 784) uint8, and True where the card copies them directly: their pages stay in memory.

    Without CUDA they are plain memory.
    """
    memory = mmap.mmap(-1, rows * PIXELS)  # pages of their own: a page cannot be pinned twice
    pixels = np.frombuffer(memory, np.uint8).reshape(rows, PIXELS)
    with suppress(OSError, AttributeError):
        runtime = ctypes.CDLL(LIBRARIES[0])
        address = ctypes.c_void_p(pixels.ctypes.data)
        if runtime.cudaHostRegister(address, ctypes.c_size_t(pixels.nbytes), ctypes.c_uint(0)) == 0:
            weakref.finalize(pixels.base, runtime.cudaHostUnregister, address).atexit = False  # CUDA has ended by then
            return pixels, True
    return pixels, False


def _loads(path: str) -> bool:
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
