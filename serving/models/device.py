"""Choice of the device for a model: the CPU, or a GPU where there is one and it is the faster of the two."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serving.errors import DeviceUnavailableError, ModelRejectedError
from serving.host.cpu import has_driver
from serving.models.bound_session import GRAPH_OPTIONS, BoundSession
from serving.models.onnx_session import CUDA, CUDA_OPTIONS, OnnxSession, available_providers
from serving.predictions import PIXELS, BatchPredictions, Pixels

ROUNDS = 5  # of which the shortest counts


class Session(Protocol):
    """Model ready to run on one device."""

    device: str  # cpu or cuda
    threads: int  # of one inference, on the CPU
    computes_on_caller: bool  # True where another thread for run() would gain nothing

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, n at least 1, without refusals. Releases the GIL."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Session on the chosen device, and why that one, in words."""

    session: Session
    why: str


def choose_device(requested: str, available: Sequence[str], precision: str = "float32", driver: bool = True) -> str:
    """Returns `cpu` or `cuda` for a `requested` auto, cpu or cuda and the `available` execution providers.

    For auto, `cuda` means that CUDA is to be tried; without a `driver` of a card it is not. Raises
    DeviceUnavailableError when cuda is requested and not available, or for the `precision` int8: CUDA has no int8
    convolutions, so it would compute in float32, and slower.
    """
    if requested == "cuda" and precision == "int8":
        raise DeviceUnavailableError(
            "device cuda was requested for the int8 form, which is faster on the CPU: use --precision float32, or "
            "--device auto or cpu."
        )
    if requested == "cpu" or (requested == "auto" and (CUDA not in available or precision == "int8" or not driver)):
        return "cpu"
    if CUDA not in available:
        raise DeviceUnavailableError(
            f"device cuda was requested, and this ONNX Runtime has only {', '.join(available)}. "
            "Install onnxruntime-gpu in place of onnxruntime, or use --device auto or cpu."
        )
    return "cuda"


def open_on_device(graph: bytes, precision: str, requested: str, threads: int, largest_batch: int) -> Opened:
    """Opens the serialised graph on the `requested` device, auto, cpu or cuda, for batches up to `largest_batch`.

    auto takes CUDA where it computes a largest batch in less time than the CPU with `threads`. Raises
    DeviceUnavailableError where cuda is requested and cannot start, ModelRejectedError for a graph that cannot be run.
    """
    available = available_providers()
    if choose_device(requested, available, precision, has_driver()) == "cpu":
        return Opened(OnnxSession(graph, "cpu", threads), _why_cpu(requested, available))
    if requested == "cuda":
        return Opened(_on_cuda(graph, largest_batch), "it was requested")
    cpu = OnnxSession(graph, "cpu", threads)
    try:
        cuda = _on_cuda(graph, largest_batch)
    except (DeviceUnavailableError, ModelRejectedError) as error:
        return Opened(cpu, str(error))
    return faster_of(cpu, cuda, largest_batch)


def faster_of(cpu: Session, cuda: Session, largest_batch: int) -> Opened:
    """Returns the session that computes a largest batch in less time; the CPU's where they are equal."""
    on_cpu, on_cuda = (_shortest_seconds(session.run, largest_batch) for session in (cpu, cuda))
    why = f"{largest_batch} images take {on_cpu * 1e3:.2f} ms on the CPU and {on_cuda * 1e3:.2f} ms on CUDA"
    return Opened(cuda if on_cuda < on_cpu else cpu, why)


def _on_cuda(graph: bytes, largest_batch: int) -> BoundSession:
    try:
        return BoundSession(graph, largest_batch, options=GRAPH_OPTIONS)
    except ModelRejectedError:  # control flow, for one: CUDA graphs cannot hold it
        return BoundSession(graph, largest_batch, options=CUDA_OPTIONS)


def _why_cpu(requested: str, available: Sequence[str]) -> str:
    if requested == "cpu":
        return "it was requested"
    if CUDA not in available:
        return "CUDA is not available"
    return "the int8 form is faster there" if has_driver() else "no driver of a card is there"


def _shortest_seconds(run: Callable[[Pixels], BatchPredictions], images: int) -> float:
    pixels = np.zeros((images, PIXELS), np.uint8)
    run(pixels)  # sets up this size
    shortest = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run(pixels)
        shortest = min(shortest, time.perf_counter() - began)
    return shortest
