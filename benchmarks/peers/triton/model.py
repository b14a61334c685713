"""What Triton's Python backend runs: the requests of one dynamic batch, in one call of ONNX Runtime."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from benchmarks.peers.onnx_session import OUTPUTS, Session


class TritonPythonModel:
    """Triton's name and methods."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Opens the graph."""
        parameters = json.loads(arguments["model_config"])["parameters"]
        self._session = Session(parameters["graph_file"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        arrays = [triton.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        answers = self._session.run(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
        responses, start = [], 0
        for array in arrays:
            end = start + len(array)
            tensors = [triton.Tensor(name, answers[name][start:end]) for name in OUTPUTS]
            responses.append(triton.InferenceResponse(output_tensors=tensors))
            start = end
        return responses
