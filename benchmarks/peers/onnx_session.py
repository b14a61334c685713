"""How every peer runs the graph: ONNX Runtime on the processor, one thread, which sleeps when it has nothing to do."""

import base64
import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import numpy.typing as npt
import onnxruntime

PIXELS = 784
OUTPUTS = ["probabilities", "digit", "novelty"]


class Session:
    """The example network."""

    def __init__(self, graph_file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(graph_file, options, providers=["CPUExecutionProvider"])

    def run(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
        """All three outputs for `pixels` (n, 784) uint8."""
        return dict(zip(OUTPUTS, self._session.run(OUTPUTS, {"pixels": pixels}), strict=True))

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """One output: (n, 10) float32."""
        (found,) = self._session.run(OUTPUTS[:1], {"pixels": pixels})
        return np.asarray(found, np.float32)


def pixels_of(images: list[str]) -> npt.NDArray[np.uint8]:
    """Images as base64 text, to (n, 784) uint8."""
    return np.frombuffer(b"".join(map(base64.b64decode, images)), np.uint8).reshape(-1, PIXELS)
