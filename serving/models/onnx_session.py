"""ONNX Runtime sessions over a model's graph. The only importer of onnxruntime."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

# ONNX Runtime 1.32 reports its use to its makers unless this is set before it is loaded (microsoft/onnxruntime#27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime

from serving.errors import DeviceUnavailableError, ModelRejectedError
from serving.models.cuda_libraries import preload
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
# wait. The arena grows by what is needed instead of doubling, so that other processes can use the rest of the card, and
# has a limit. TF32 would round the weights to 10 bits: answers would differ from those of the CPU in the third digit.
CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
    "gpu_mem_limit": str(4 * 2**30),
    "use_tf32": "0",
}

RUNTIME_VERSION: str = onnxruntime.__version__


class OnnxSession:
    """Model ready to run on one device. run() may be called from any thread, also by several at once."""

    def __init__(self, graph: bytes, device: str, threads: int, options: Mapping[str, str] = CUDA_OPTIONS) -> None:
        """Loads the serialised graph. `device`: cpu or cuda; `threads`: of one inference, on the CPU.

        Holds the GIL meanwhile (microsoft/onnxruntime#27063): some 30 ms. `options`: of the CUDA provider. Raises
        DeviceUnavailableError where CUDA cannot start, or ModelRejectedError where the graph cannot be loaded or has
        another signature.
        """
        self._session = open_session(graph, device, threads, options)
        self.device = device
        self.threads = threads
        # True where the calling thread does all the work of run(), so that another thread for it would gain nothing.
        self.computes_on_caller = device == "cpu" and threads == 1
        check_signature(self._session)

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, 0 = paper, 255 = ink, n at least 1, without refusals. Releases the GIL."""
        return BatchPredictions(*self._session.run(_OUTPUT_NAMES, {INPUT[0]: pixels}))


class ExplainingSession:
    """Model whose graph also returns inner values, on one thread of the CPU. run() may be called from any thread."""

    def __init__(self, graph: bytes, values: Sequence[str]) -> None:
        """Loads the serialised graph. `values`: names of its outputs to return.

        Raises ModelRejectedError where it cannot be loaded.
        """
        self._session = open_session(graph, "cpu", 1)
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


def open_session(graph: bytes, device: str, threads: int, options: Mapping[str, str] = CUDA_OPTIONS) -> Any:
    """Returns an ONNX Runtime session, which has no types, for the serialised graph on `device`, cpu or cuda.

    `options`: of the CUDA provider. Raises DeviceUnavailableError where CUDA cannot start, ModelRejectedError where the
    graph cannot be loaded.
    """
    settings = onnxruntime.SessionOptions()
    # By default one for each processor of the host, whatever the cgroup grants (microsoft/onnxruntime#29510).
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin while they wait save microseconds in a benchmark and take the processors that RPCs need.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena frees no memory and has grown without end under changing batch sizes (microsoft/onnxruntime#11627).
    settings.enable_cpu_mem_arena = False
    # Not ORT's own format, which it would recognise by itself: the checks read ONNX.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    settings.log_severity_level = 3  # errors; warnings would stand unstructured between the log's lines
    if device == "cuda":
        preload()
    providers: list[Any] = [CPU] if device == "cpu" else [(CUDA, dict(options)), CPU]
    try:
        session = onnxruntime.InferenceSession(graph, settings, providers=providers)
    except Exception as error:  # ONNX Runtime raises many kinds, with no common base
        raise ModelRejectedError(f"ONNX Runtime cannot load the graph: {error}", "graph") from error
    # ONNX Runtime only warns when an installed provider cannot start (no driver), and goes on without it.
    if device == "cuda" and CUDA not in session.get_providers():
        raise DeviceUnavailableError(
            "device cuda was requested, and CUDA could not start: check the driver (nvidia-smi) and that the CUDA and "
            "cuDNN libraries fit this onnxruntime-gpu, or use --device auto or cpu."
        )
    return session


def check_signature(session: Any) -> None:
    """Raises ModelRejectedError where the session's inputs and outputs are others than INPUT and OUTPUTS."""
    inputs = [(node.name, node.type, node.shape) for node in session.get_inputs()]
    outputs = [(node.name, node.type, node.shape) for node in session.get_outputs()]
    if inputs != [INPUT] or outputs != OUTPUTS:
        raise ModelRejectedError(
            f"the graph has the signature {inputs} -> {outputs}, expected {[INPUT]} -> {OUTPUTS}", "graph"
        )


def device_buffer(shape: tuple[int, ...], dtype: type[np.generic], device: str) -> Any:
    """Returns an uninitialised OrtValue on `device`, cpu or cuda."""
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, 0)


def graph_options(number: int) -> Any:
    """Returns the run options that capture the CUDA graph `number` at first, and replay it later; -1: no graph."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options
