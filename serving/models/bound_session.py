"""Session on a GPU: a CUDA graph for each padded batch size up to LARGEST_GRAPH, plain runs for larger batches.

1. A batch is padded with empty images to the next of `sizes`, so that its shape is one that was prepared at load.
2. A CUDA graph replays on the addresses at which it was captured, so inputs and outputs stay where they are. The pixels
   are copied to the card before a run, the outputs back after it. A plain run leaves both to ONNX Runtime.
3. While one thread captures a graph, CUDA refuses memory operations of every other thread. And ONNX Runtime keeps
   graphs by thread. So one thread for each session does all of its work, and one lock covers all sessions.
"""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from serving.errors import ModelRejectedError
from serving.models.cuda_libraries import pinned_pixels
from serving.models.onnx_session import (
    CUDA_OPTIONS,
    INPUT,
    OUTPUTS,
    check_signature,
    device_buffer,
    graph_options,
    open_session,
)
from serving.predictions import DIGITS, PIXELS, BatchPredictions, Floats, Pixels

GRAPH_OPTIONS = CUDA_OPTIONS | {"enable_cuda_graph": "1"}
PLAIN_OPTIONS = {"enable_cuda_graph": "0"}
# Images of the largest batch that has a graph. On an H200 graphs took less time than plain runs up to 128 images, as
# much at 256 and more from there on, and their buffers for 4,096 images passed the memory limit (docs/gpu.md).
LARGEST_GRAPH = 256
_SHAPES: list[tuple[tuple[int, ...], type[np.generic]]] = [((DIGITS,), np.float32), ((), np.int64), ((), np.float32)]
T = TypeVar("T")
Run = Callable[[Pixels], list[Floats]]
_DEVICE = threading.Lock()  # held by whatever uses the card (rule 3)


def padded_sizes(largest: int) -> tuple[int, ...]:
    """Returns the batch sizes to prepare, ascending: powers of two below `largest`, and `largest`."""
    return (*(2**power for power in range((largest - 1).bit_length())), largest)


def padded_size(images: int, sizes: Sequence[int]) -> int:
    """Returns the smallest of the ascending `sizes` that holds `images`; the largest where none does."""
    return next((size for size in sizes if size >= images), sizes[-1])


class BoundSession:
    """Model on `device`, ready for batches of any size. run() may be called by several threads at once."""

    computes_on_caller = False
    threads = 1  # on the processor: one, which waits for the card

    def __init__(
        self, graph: bytes, largest_batch: int, device: str = "cuda", options: Mapping[str, str] = GRAPH_OPTIONS
    ) -> None:
        """Loads the serialised graph and prepares every padded size up to `largest_batch`.

        `options`: of the CUDA provider; `enable_cuda_graph` 1 captures graphs. `device` cpu binds the buffers and
        captures nothing, for tests. Raises DeviceUnavailableError where CUDA cannot start, ModelRejectedError for a
        graph that cannot be loaded, prepared or captured, or has another signature.
        """
        self.device = device
        self.sizes = padded_sizes(largest_batch)
        self._thread = _DeviceThread(device)
        weakref.finalize(self, self._thread.end)
        self._thread.call(partial(self._prepare, graph, options))

    def run(self, pixels: Pixels) -> BatchPredictions:
        """Predicts `pixels`, (n, 784) uint8, 0 = paper, 255 = ink, n at least 1, without refusals. Releases the GIL."""
        return self._thread.call(partial(self._run, pixels))

    def _prepare(self, graph: bytes, options: Mapping[str, str]) -> None:
        self.has_graphs = options.get("enable_cuda_graph") == "1"
        with _DEVICE:
            self._pixels, self.is_pinned = pinned_pixels(self.sizes[-1])
            with_graph = [size for size in self.sizes if self.has_graphs and size <= LARGEST_GRAPH]
            self._runs: dict[int, Run] = {}
            if with_graph:
                session = self._opened(graph, options)
                self._runs |= {size: _Bound(session, size, self.device).run for size in with_graph}
            if len(with_graph) < len(self.sizes):
                # A session of its own: the one with graphs runs nothing else on the card.
                session = self._opened(graph, {**options, **PLAIN_OPTIONS})
                self._runs = dict.fromkeys(self.sizes, partial(_run_plain, session)) | self._runs
            try:
                for size, run in self._runs.items():
                    run(self._pixels[:size])  # sets up cuDNN for this size; captures its graph
            except Exception as error:  # ONNX Runtime raises many kinds, as where the card's memory is short
                raise ModelRejectedError(
                    f"{size} images cannot be prepared on {self.device}: {error}", "graph"
                ) from error

    def _opened(self, graph: bytes, options: Mapping[str, str]) -> Any:
        session = open_session(graph, self.device, self.threads, options)
        check_signature(session)
        return session

    def _run(self, pixels: Pixels) -> BatchPredictions:
        largest = self.sizes[-1]
        with _DEVICE:
            if len(pixels) <= largest:
                return BatchPredictions(*self._run_part(pixels))
            parts = [self._run_part(pixels[at : at + largest]) for at in range(0, len(pixels), largest)]
        return BatchPredictions(*(np.concatenate(outputs) for outputs in zip(*parts, strict=True)))

    def _run_part(self, pixels: Pixels) -> list[Any]:
        images = len(pixels)
        size = padded_size(images, self.sizes)
        self._pixels[:images] = pixels
        self._pixels[images:size] = 0
        return [output[:images] for output in self._runs[size](self._pixels[:size])]


class _DeviceThread:
    """Thread that does what is called on it, one after the other, until end()."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        # A daemon: an inference that hangs must not keep the process from ending. It knows the queue alone, so that a
        # session that nobody uses any more can end it.
        threading.Thread(target=_serve, args=(self._work,), name=name, daemon=True).start()

    def call(self, function: Callable[[], T]) -> T:
        """Returns what `function` returns on the thread, or raises what it raises there."""
        future: Future[T] = Future()
        self._work.put((function, future))
        return future.result()

    def end(self) -> None:
        """Ends the thread after what it was given before."""
        self._work.put(None)


def _serve(queue: "SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]") -> None:
    while (work := queue.get()) is not None:
        function, future = work
        try:
            future.set_result(function())
        except BaseException as error:  # raised again by the caller's result()
            future.set_exception(error)
        del work, function, future  # they hold the session, while this waits


def _run_plain(session: Any, pixels: Pixels) -> list[Floats]:
    """Runs `pixels`, (n, 784) uint8; returns the outputs in the order of OUTPUTS."""
    outputs: list[Floats] = session.run([name for name, _, _ in OUTPUTS], {INPUT[0]: pixels})
    return outputs


class _Bound:
    """Buffers of one batch size on the device, bound to the session's input and outputs."""

    def __init__(self, session: Any, size: int, device: str) -> None:
        self._session = session
        self._options = graph_options(size if device == "cuda" else -1)
        self._input = device_buffer((size, PIXELS), np.uint8, device)
        self._outputs = [device_buffer((size, *shape), dtype, device) for shape, dtype in _SHAPES]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT[0], self._input)
        for (name, _, _), output in zip(OUTPUTS, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, output)

    def run(self, pixels: Pixels) -> list[Floats]:
        """Runs `pixels`, (size, 784) uint8; returns copies of the outputs, in the order of OUTPUTS."""
        self._input.update_inplace(pixels)
        self._session.run_with_iobinding(self._binding, self._options)
        # On the CPU numpy() is a view of the buffer, which the next run overwrites.
        return [np.array(output.numpy()) for output in self._outputs]
