import time

import numpy as np
import pytest

from serving.errors import DeviceUnavailableError
from serving.models.device import choose_device, faster_of, open_on_device
from serving.models.onnx_session import CPU, CUDA, OnnxSession, available_providers
from serving.predictions import BatchPredictions, Pixels
from tests.support.tiny_model import tiny_graph

GPU_HOST = [CUDA, CPU]
CPU_HOST = [CPU]
NO_CUDA = pytest.mark.skipif(CUDA in available_providers(), reason="this host has CUDA")


@pytest.mark.parametrize(
    ("requested", "available", "precision", "driver", "chosen"),
    [
        ("auto", CPU_HOST, "float32", True, "cpu"),
        ("auto", GPU_HOST, "float32", True, "cuda"),
        ("auto", GPU_HOST, "float32", False, "cpu"),
        ("auto", GPU_HOST, "int8", True, "cpu"),
        ("cpu", GPU_HOST, "float32", True, "cpu"),
        ("cuda", GPU_HOST, "float32", True, "cuda"),
        ("cuda", GPU_HOST, "float32", False, "cuda"),
    ],
)
def test_requested_device_is_chosen_and_auto_falls_back(
    requested: str, available: list[str], precision: str, driver: bool, chosen: str
) -> None:
    assert choose_device(requested, available, precision, driver) == chosen


def test_requested_cuda_that_is_missing_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DeviceUnavailableError, match=r"Install onnxruntime-gpu .* or use --device auto or cpu"):
        choose_device("cuda", CPU_HOST)


def test_the_int8_form_on_requested_cuda_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DeviceUnavailableError, match="use --precision float32, or --device auto or cpu"):
        choose_device("cuda", GPU_HOST, "int8")


@NO_CUDA
def test_auto_runs_on_the_cpu_where_there_is_no_cuda_and_says_so() -> None:
    opened = open_on_device(tiny_graph(), "float32", "auto", 1, 8)
    assert (opened.session.device, opened.why) == ("cpu", "CUDA is not available")


class Waiting:
    """Session that only waits."""

    threads = 1
    computes_on_caller = True

    def __init__(self, device: str, seconds: float) -> None:
        self.device = device
        self._seconds = seconds

    def run(self, pixels: Pixels) -> BatchPredictions:
        ends = time.perf_counter() + self._seconds * len(pixels)
        while time.perf_counter() < ends:
            pass
        return BatchPredictions(np.zeros((0, 10), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


@pytest.mark.parametrize(("cpu", "cuda", "chosen"), [(1e-6, 1e-3, "cpu"), (1e-3, 1e-6, "cuda")])
def test_auto_takes_the_device_that_computes_a_largest_batch_in_less_time(cpu: float, cuda: float, chosen: str) -> None:
    opened = faster_of(Waiting("cpu", cpu), Waiting("cuda", cuda), 8)
    assert opened.session.device == chosen
    assert opened.why.startswith("8 images take ")


@NO_CUDA
def test_a_device_that_is_the_cpu_gives_the_plain_session() -> None:
    assert isinstance(open_on_device(tiny_graph(), "float32", "cpu", 1, 8).session, OnnxSession)
