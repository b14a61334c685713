"""Picks inference settings for a host from measured times of inferences of several sizes. Measures nothing itself.

1. The batch size is the smallest whose rate is within RATE_LOSS of the best. Larger batches would gain next to nothing,
   and requests that come meanwhile would wait longer. Batches that take more than LONGEST_SECONDS are left out, except
   those of one image. Rates include the server: each inference costs it SERVER_SECONDS in addition to the model's time.
2. More threads, the int8 form, or a GPU, must each improve the rate by WORTH_CHANGING: threads are taken from other
   calls, int8 changes the last digits of a probability, and a GPU serves one process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
RATE_LOSS = 0.03  # share of the best rate that a smaller batch may lose
LONGEST_SECONDS = 0.010
SERVER_SECONDS = 0.000065  # docs/performance.md
WORTH_CHANGING = 1.05  # times the rate of the simpler setting


@dataclass(frozen=True, slots=True)
class Curve:
    """Measured seconds of one inference, for each of SIZES images."""

    precision: str  # float32 or int8
    threads: int
    seconds: tuple[float, ...]
    device: str = "cpu"  # or cuda

    @property
    def rates(self) -> list[float]:
        """Images a second, for each of SIZES."""
        return [images / (seconds + SERVER_SECONDS) for images, seconds in zip(SIZES, self.seconds, strict=True)]


@dataclass(frozen=True, slots=True)
class Picked:
    """Inference settings that suit a host."""

    precision: str
    inference_threads: int
    max_batch_size: int
    device: str = "cpu"  # or cuda
    card: str = ""  # its name; empty where the device is the CPU

    @property
    def flags(self) -> str:
        """Command-line flags that set them."""
        return (
            f"--device {self.device} --precision {self.precision} --inference-threads {self.inference_threads}"
            f" --max-batch-size {self.max_batch_size}"
        )


def pick(curves: Sequence[Curve], max_batch_size: int = 0, card: str = "", cpu_workers: int = 1) -> Picked:
    """Picks settings from one or more curves.

    `max_batch_size`: the largest batch where it is set already, 0 where it is to be picked; `card`: the GPU's name;
    `cpu_workers`: processes that would serve on the CPU, where a GPU would serve one.
    """
    largest = max_batch_size or SIZES[-1]
    best, best_rate = curves[0], 0.0
    # Simplest first: a later curve replaces the best one only if it is worth the change.
    for curve in sorted(curves, key=lambda curve: (curve.device != "cpu", curve.precision != "float32", curve.threads)):
        processes = cpu_workers if curve.device == "cpu" else 1
        rate = processes * max(curve.rates[index] for index in _allowed(curve, largest))
        if rate > best_rate * WORTH_CHANGING:
            best, best_rate = curve, rate
    allowed = _allowed(best, largest)
    enough = max(best.rates[index] for index in allowed) * (1 - RATE_LOSS)
    size = max_batch_size or SIZES[min(index for index in allowed if best.rates[index] >= enough)]
    return Picked(best.precision, best.threads, size, best.device, card if best.device == "cuda" else "")


def table(curves: Sequence[Curve], picked: Picked) -> str:
    """Formats the curves as a table for people, a line for each size, and what was picked."""
    names = [_name(curve.precision, curve.threads, curve.device) for curve in curves]
    lines = ["images  " + "".join(f"{name:>26}" for name in names)]
    for index, images in enumerate(SIZES):
        cells = [f"{curve.seconds[index] * 1e6:>10,.0f} us {curve.rates[index]:>9,.0f}/s" for curve in curves]
        lines.append(f"{images:>6}  " + "".join(f"{cell:>26}" for cell in cells))
    chosen = _name(picked.precision, picked.inference_threads, picked.device, picked.card)
    return "\n".join([*lines, f"picked: {chosen}, batches of up to {picked.max_batch_size} images"])


def _allowed(curve: Curve, largest: int) -> list[int]:
    """Returns the indices in SIZES of the batches that may be picked; 0 where none is fast enough."""
    sizes = enumerate(zip(SIZES, curve.seconds, strict=True))
    return [index for index, (images, seconds) in sizes if images <= largest and seconds <= LONGEST_SECONDS] or [0]


def _name(precision: str, threads: int, device: str, card: str = "") -> str:
    if device == "cuda":
        return f"{precision}, {card or 'CUDA'}"
    return f"{precision}, {threads} thread{'s' if threads > 1 else ''}"
