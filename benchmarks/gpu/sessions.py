"""Steps that measure sessions in this process: start, golden answers, rates by batch size, where the time goes."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.card import memory_mib
from benchmarks.gpu.record import Budget
from benchmarks.servers.example_network import graph_file, sample_digits
from serving.models.bound_session import GRAPH_OPTIONS, BoundSession
from serving.models.cuda_libraries import card_name, pinned_pixels, preload
from serving.models.device import Session
from serving.models.onnx_session import CUDA_OPTIONS, RUNTIME_VERSION, OnnxSession, available_providers, device_buffer
from serving.predictions import PIXELS, BatchPredictions, Pixels

TF32 = {"use_tf32": "1"}
SIZES = tuple(2**power for power in range(13))  # 1 to 4,096
SECONDS_A_POINT = 0.2
ROUNDS = (5, 400)  # of one point: at least, at most
Run = Callable[[Pixels], BatchPredictions]


class Sessions:
    """Steps on the models below `models`. `device`: cuda, or cpu in a rehearsal, where it stands in for the card."""

    def __init__(self, models: Path, device: str, threads: int, model: str = "mnist") -> None:
        self._models = models
        self._device = device
        self._threads = threads
        self._graph = graph_file(models, model).read_bytes()
        digits = sample_digits()
        self._pixels = np.ascontiguousarray(np.resize(digits, (SIZES[-1], PIXELS)))

    def start(self, budget: Budget) -> dict[str, Any]:
        """Starts the provider: its libraries, the seconds to load and to answer for the first time, and memory."""
        del budget
        found: dict[str, Any] = {"libraries": preload() if self._device == "cuda" else {}, "card_name": card_name()}
        found |= {"runtime": RUNTIME_VERSION, "providers": available_providers(), "memory_before": memory_mib()}
        for name, options in (("plain", None), ("prepared", CUDA_OPTIONS), ("graph", GRAPH_OPTIONS)):
            if options is GRAPH_OPTIONS and self._device != "cuda":
                continue
            began = time.perf_counter()
            session: Session = (
                OnnxSession(self._graph, self._device, 1)
                if options is None
                else BoundSession(self._graph, 256, self._device, options)
            )
            loaded = time.perf_counter()
            session.run(self._pixels[:1])
            first = time.perf_counter()
            session.run(self._pixels[:1])
            found[name] = {
                "load_seconds": loaded - began,
                "first_run_ms": (first - loaded) * 1e3,
                "second_run_ms": (time.perf_counter() - first) * 1e3,
                "memory": memory_mib(),
            }
            print(f"  {name}: {found[name]}", flush=True)
        return found

    def golden(self, budget: Budget) -> dict[str, Any]:
        """Compares the golden answers of every model with those of the device: exact float32, TF32 and int8."""
        found: dict[str, Any] = {}
        for folder in sorted(path.parent for path in self._models.glob("*/*/golden.npz")):
            graph, golden = (folder / "model.onnx").read_bytes(), np.load(folder / "golden.npz")
            ways: dict[str, Callable[[], Session]] = {
                "cpu": partial(OnnxSession, graph, "cpu", self._threads),
                "plain": partial(OnnxSession, graph, self._device, 1),
                "graph": partial(BoundSession, graph, 256, self._device, GRAPH_OPTIONS),
                "tf32": partial(OnnxSession, graph, self._device, 1, CUDA_OPTIONS | TF32),
            }
            for way, opened in ways.items():
                name = f"{folder.parent.name}/{folder.name} {way}"
                try:
                    found[name] = _differences(opened().run, golden)
                except Exception as error:  # one way that cannot run does not hide the others
                    found[name] = {"error": f"{type(error).__name__}: {error}"[:2000]}
                print(f"  {name}: {found[name]}", flush=True)
            if budget.left < 0:
                break
        return found

    def rates(self, budget: Budget) -> dict[str, dict[int, float]]:
        """Median seconds of one run, by way and batch size."""
        bound = partial(BoundSession, self._graph, SIZES[-1], self._device)
        ways: dict[str, Callable[[], Session]] = {
            "cpu, 1 thread": partial(OnnxSession, self._graph, "cpu", 1),
            f"cpu, {self._threads} threads": partial(OnnxSession, self._graph, "cpu", self._threads),
            f"{self._device}, run()": partial(OnnxSession, self._graph, self._device, 1),
            f"{self._device}, prepared": partial(bound, CUDA_OPTIONS),
            f"{self._device}, graph to 256": partial(bound, GRAPH_OPTIONS),
            f"{self._device}, graph to 256, TF32": partial(bound, GRAPH_OPTIONS | TF32),
        }
        found: dict[str, dict[int, float]] = {}
        for way, opened in ways.items():
            found[way] = {}
            try:
                session = opened()
                for size in SIZES:
                    if budget.left > SECONDS_A_POINT:
                        found[way][size] = median_seconds(partial(session.run, self._pixels[:size]))
            except Exception as error:  # one way that cannot run does not hide the others
                print(f"  {way}: {type(error).__name__}: {error}"[:2000], flush=True)
            times = " ".join(f"{size}:{seconds * 1e6:.0f}us" for size, seconds in found[way].items())
            print(f"  {way}: {times}", flush=True)
        return found

    def pieces(self, budget: Budget) -> dict[str, Any]:
        """Median microseconds of the copy to the card from plain and pinned memory, and of the copy back."""
        del budget
        found: dict[str, Any] = {}
        for size in (1, 64, 256, 1024):
            pinned, is_pinned = pinned_pixels(size)
            plain = np.array(self._pixels[:size])
            pinned[:] = plain
            value = device_buffer((size, PIXELS), np.uint8, self._device)
            back = device_buffer((size, 10), np.float32, self._device)
            calls: dict[str, Callable[[], object]] = {
                "to the card, plain memory": partial(value.update_inplace, plain),
                "to the card, pinned memory": partial(value.update_inplace, pinned),
                "back, (n, 10) float32": back.numpy,
            }
            found[str(size)] = {name: median_seconds(call) * 1e6 for name, call in calls.items()} | {
                "pinned": is_pinned
            }
            print(f"  {size}: {found[str(size)]}", flush=True)
        return found


def median_seconds(call: Callable[[], object]) -> float:
    """Median seconds of one call, of repeated calls in SECONDS_A_POINT, after one that is not counted."""
    call()
    ends, seconds = time.perf_counter() + SECONDS_A_POINT, list[float]()
    while len(seconds) < ROUNDS[0] or (time.perf_counter() < ends and len(seconds) < ROUNDS[1]):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _differences(run: Run, golden: Mapping[str, Any]) -> dict[str, float]:
    pixels = golden["pixels"]
    parts = [run(pixels[at : at + 256]) for at in range(0, len(pixels), 256)]
    digits = np.concatenate([part.digits for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    novelties = np.concatenate([part.novelties for part in parts])
    return {
        "images": len(pixels),
        "other_digits": int((digits != golden["digit"]).sum()),
        "largest_difference_of_probabilities": float(np.abs(probabilities - golden["probabilities"]).max()),
        "largest_difference_of_novelties": float(np.abs(novelties - golden["novelty"]).max()),
    }
