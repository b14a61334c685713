"""How many worker processes there should be where nobody said."""

from importlib.util import find_spec
from pathlib import Path

from serving.cpu_quota import usable_cpus


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
