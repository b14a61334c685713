"""One ONNX Runtime session over the model's graph, and the choice of its device. The only importer of onnxruntime."""

import os
from collections.abc import Sequence
from typing import Any

# ONNX Runtime reports its use to its makers unless this is set before it is loaded (microsoft/onnxruntime#27379).
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
# HEURISTIC: the default, EXHAUSTIVE, times every algorithm at the first run of every batch size.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}

RUNTIME_VERSION: str = onnxruntime.__version__


def choose_device(asked: str, available: Sequence[str]) -> str:
    """`cpu` or `cuda`, for `auto`, `cpu` or `cuda` asked and the execution providers that this runtime has.

    Raises DeviceUnavailableError when cuda is asked for and is not there; auto takes the cpu then.
    """
    if asked == "cpu" or (asked == "auto" and CUDA not in available):
        return "cpu"
    if CUDA not in available:
        raise DeviceUnavailableError(
            f"device cuda was asked for, and this ONNX Runtime has only {', '.join(available)}. "
            "Install onnxruntime-gpu in place of onnxruntime, or use --device auto or cpu."
        )
    return "cuda"


class OnnxSession:
    """A model ready to run, on one device. `run` may be called from any thread."""

    def __init__(self, graph: bytes, device: str, threads: int) -> None:
        """Loads the serialised graph. `device`: auto, cpu or cuda; `threads`: of one inference, on the CPU.

        Raises DeviceUnavailableError, or ModelRejectedError where the graph cannot be loaded or has another signature.
        """
        available = onnxruntime.get_available_providers()
        chosen = choose_device(device, available)
        try:
            self._session = _open(graph, chosen, threads)
        except Exception as error:  # ONNX Runtime raises many kinds, with no common base
            raise ModelRejectedError(f"ONNX Runtime cannot load the graph: {error}", "graph") from error
        # A provider that is installed and cannot start (no driver) is dropped by ONNX Runtime with a mere warning.
        if chosen == "cuda" and CUDA not in self._session.get_providers():
            if device == "cuda":
                raise DeviceUnavailableError(
                    "device cuda was asked for, and CUDA could not start: check the driver (nvidia-smi) and that the "
                    "CUDA and cuDNN libraries fit this onnxruntime-gpu, or use --device auto or cpu."
                )
            chosen = "cpu"
        self.device = chosen
        self.threads = threads
        # Whoever calls run() does all the work: neither other threads nor a GPU can go on while it does something else.
        self.computes_on_caller = chosen == "cpu" and threads == 1
        self._check_signature()

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, 0 = paper, 255 = ink, n at least 1. Nothing is refused yet."""
        return BatchPredictions(*self._session.run(_OUTPUT_NAMES, {INPUT[0]: pixels}))

    def _check_signature(self) -> None:
        inputs = [(node.name, node.type, node.shape) for node in self._session.get_inputs()]
        outputs = [(node.name, node.type, node.shape) for node in self._session.get_outputs()]
        if inputs != [INPUT] or outputs != OUTPUTS:
            raise ModelRejectedError(
                f"the graph has the signature {inputs} -> {outputs}, expected {[INPUT]} -> {OUTPUTS}", "graph"
            )


class ExplainingSession:
    """A model whose graph tells more values than its answer, on the CPU. `run` may be called from any thread."""

    def __init__(self, graph: bytes, values: Sequence[str]) -> None:
        """`values`: names of outputs of this serialised graph. Raises ModelRejectedError where it cannot be loaded."""
        try:
            self._session = _open(graph, "cpu", 1)
        except Exception as error:  # as for OnnxSession
            raise ModelRejectedError(f"ONNX Runtime cannot load the graph: {error}", "graph") from error
        self._values = list(values)

    def run(self, pixels: Pixels, values: Sequence[str] | None = None) -> tuple[BatchPredictions, dict[str, Floats]]:
        """Predicts `pixels` as OnnxSession does, and returns the named `values` (None: all), (n, ...) float32."""
        names = self._values if values is None else values
        probabilities, digits, novelties, *found = self._session.run([*_OUTPUT_NAMES, *names], {INPUT[0]: pixels})
        return BatchPredictions(probabilities, digits, novelties), dict(zip(names, found, strict=True))


_OUTPUT_NAMES = [name for name, _, _ in OUTPUTS]


def available_providers() -> list[str]:
    """Execution providers of the installed ONNX Runtime, best first."""
    return list(onnxruntime.get_available_providers())


def _open(graph: bytes, device: str, threads: int) -> Any:  # onnxruntime ships no types
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads win microseconds in a benchmark and take the processors that the RPCs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena gives no memory back and has grown without end under changing batch sizes (microsoft/onnxruntime#11627).
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    providers: list[Any] = [CPU] if device == "cpu" else [(CUDA, CUDA_OPTIONS), CPU]
    return onnxruntime.InferenceSession(graph, options, providers=providers)
