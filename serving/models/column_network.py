"""Column network: says what stands at each column of a strip of ink, for the reading of whole numbers.

It is a part of the service, as the preprocessing is, and not a served model: whichever model is served, it helps to
find the digits. `python -m training columns` trains it; columns.onnx holds it.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.models.onnx_session import open_session
from serving.predictions import Floats

FILE = Path(__file__).with_name("columns.onnx")
MOST_AT_ONCE = 2**11  # columns of strips in one run, which bounds the memory for it: some 20 MB


class ColumnNetwork:
    """Column network on one thread of the CPU, loaded when it is first used. May be called from any thread."""

    def __call__(self, strips: Sequence[npt.NDArray[np.uint8]]) -> list[Floats]:
        """Reads strips, (32, w) uint8 each, 0 = paper, w a multiple of 4.

        Returns for each the probabilities of ten digits and of none of them, (w / 4, 11).
        """
        frames: list[Floats] = [np.zeros((0, 11), np.float32)] * len(strips)
        order = sorted(range(len(strips)), key=lambda row: strips[row].shape[1])  # similar widths waste little
        while order:
            widest = strips[order[-1]].shape[1]
            rows = order[-max(1, MOST_AT_ONCE // widest) :]
            del order[-len(rows) :]
            stack = np.zeros((len(rows), 1, strips[rows[0]].shape[0], widest), np.uint8)
            for place, row in enumerate(rows):
                stack[place, 0, :, : strips[row].shape[1]] = strips[row]
            (probabilities,) = _session().run(["probabilities"], {"ink": stack})
            for place, row in enumerate(rows):
                # It answers once for some columns: as often for each strip as for the widest, by its width.
                frames[row] = probabilities[place, : strips[row].shape[1] * probabilities.shape[1] // widest]
        return frames


@functools.cache
def _session() -> Any:
    return open_session(FILE.read_bytes(), "cpu", 1)
