"""What ONNX Runtime reads with no server around it: what every server must read."""

from pathlib import Path

import numpy as np

from benchmarks.peers.onnx_session import Session
from benchmarks.wire.protocol import Pixels


def answers_in_process(graph: Path, pixels: Pixels) -> list[int]:
    """The digits of `pixels` (n, 784) uint8."""
    digits = np.asarray(Session(str(graph)).run(pixels)["digit"])
    return [int(digit) for digit in digits]
