"""ONNX Runtime sessions over a model's graph, and the choice of their device. The only importer of onnxruntime."""

import os
from collections.abc import Sequence
from typing import Any

# ONNX Runtime 1.32 reports its use to its makers unless this is set before it is loaded (microsoft/onnxruntime#27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from serving.errors import DeviceUnavailableError, ModelRejectedError
from serving.predictions import DIGITS, PIXELS, BatchPredictions, Floats, Pixels

INPUT = ("pixels", "tensor(uint8)", ["batch", PIXELS])
OUTPUTS = [
    ("probabilities", "tensor(float)", ["batch", DIGITS]),
    ("digit", "tensor(int64)", ["batch"]),
    ("novelty", "tensor(float)", ["batch"]),
]
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# The default search, EXHAUSTIVE, times every algorithm at the first run of each batch size, for which a request would
# wait. The arena grows by what is needed instead of doubling, so that other processes can use the rest of the GPU.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}

RUNTIME_VERSION: str = onnxruntime.__version__


def choose_device(requested: str, available: Sequence[str]) -> str:
    """Returns `cpu` or `cuda` for a `requested` auto, cpu or cuda and the `available` execution providers.

    Raises DeviceUnavailableError when cuda is requested and not available; auto falls back to cpu.
    """
    if requested == "cpu" or (requested == "auto" and CUDA not in available):
        return "cpu"
    if CUDA not in available:
        raise DeviceUnavailableError(
            f"device cuda was asked for, and this ONNX Runtime has only {', '.join(available)}. "
            "Install onnxruntime-gpu in place of onnxruntime, or use --device auto or cpu."
        )
    return "cuda"


class OnnxSession:
    """Model ready to run on one device. run() may be called from any thread, also by several at once."""

    def __init__(self, graph: bytes, device: str, threads: int) -> None:
        """Loads the serialised graph. `device`: auto, cpu or cuda; `threads`: of one inference, on the CPU.

        Holds the GIL meanwhile (microsoft/onnxruntime#27063): some 30 ms. Raises DeviceUnavailableError, or
        ModelRejectedError where the graph cannot be loaded or has another signature.
        """
        available = onnxruntime.get_available_providers()
        chosen = choose_device(device, available)
        try:
            self._session = _open(graph, chosen, threads)
        except Exception as error:  # ONNX Runtime raises many kinds, with no common base
            raise ModelRejectedError(f"ONNX Runtime cannot load the graph: {error}", "graph") from error
        # ONNX Runtime only warns when an installed provider cannot start (no driver), and goes on without it.
        if chosen == "cuda" and CUDA not in self._session.get_providers():
            if device == "cuda":
                raise DeviceUnavailableError(
                    "device cuda was asked for, and CUDA could not start: check the driver (nvidia-smi) and that the "
                    "CUDA and cuDNN libraries fit this onnxruntime-gpu, or use --device auto or cpu."
                )
            chosen = "cpu"
        self.device = chosen
        self.threads = threads
        # True where the calling thread does all the work of run(), so that another thread for it would gain nothing.
        self.computes_on_caller = chosen == "cpu" and threads == 1
        self._check_signature()

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, 0 = paper, 255 = ink, n at least 1, without refusals. Releases the GIL."""
        return BatchPredictions(*self._session.run(_OUTPUT_NAMES, {INPUT[0]: pixels}))

    def _check_signature(self) -> None:
        inputs = [(node.name, node.type, node.shape) for node in self._session.get_inputs()]
        outputs = [(node.name, node.type, node.shape) for node in self._session.get_outputs()]
        if inputs != [INPUT] or outputs != OUTPUTS:
            raise ModelRejectedError(
                f"the graph has the signature {inputs} -> {outputs}, expected {[INPUT]} -> {OUTPUTS}", "graph"
            )


class ExplainingSession:
    """Model whose graph also returns inner values, on one thread of the CPU. run() may be called from any thread."""

    def __init__(self, graph: bytes, values: Sequence[str]) -> None:
        """Loads the serialised graph. `values`: names of its outputs to return.

        Raises ModelRejectedError where it cannot be loaded.
        """
        try:
            self._session = _open(graph, "cpu", 1)
        except Exception as error:  # ONNX Runtime raises many kinds, with no common base
            raise ModelRejectedError(f"ONNX Runtime cannot load the graph: {error}", "graph") from error
        self._values = list(values)

    def run(self, pixels: Pixels, values: Sequence[str] | None = None) -> tuple[BatchPredictions, dict[str, Floats]]:
        """Predicts `pixels` as OnnxSession does, and returns the named `values` (None: all), (n, ...) float32."""
        names = self._values if values is None else values
        probabilities, digits, novelties, *found = self._session.run([*_OUTPUT_NAMES, *names], {INPUT[0]: pixels})
        return BatchPredictions(probabilities, digits, novelties), dict(zip(names, found, strict=True))


_OUTPUT_NAMES = [name for name, _, _ in OUTPUTS]


def available_providers() -> list[str]:
    """Returns the execution providers of the installed ONNX Runtime, best first."""
    return list(onnxruntime.get_available_providers())


def _open(graph: bytes, device: str, threads: int) -> Any:  # onnxruntime ships no types
    options = onnxruntime.SessionOptions()
    # By default one for each processor of the host, whatever the cgroup grants (microsoft/onnxruntime#29510).
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin while they wait save microseconds in a benchmark and take the processors that RPCs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena frees no memory and has grown without end under changing batch sizes (microsoft/onnxruntime#11627).
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors; warnings would stand unstructured between the log's lines
    providers: list[Any] = [CPU] if device == "cpu" else [(CUDA, CUDA_OPTIONS), CPU]
    return onnxruntime.InferenceSession(graph, options, providers=providers)
