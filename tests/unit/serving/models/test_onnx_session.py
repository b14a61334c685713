import os
import subprocess
import sys

import numpy as np
import pytest

from serving.errors import ModelRejectedError
from serving.models.onnx_session import OnnxSession
from tests.support.tiny_model import image_of, tiny_graph


@pytest.mark.parametrize("images", [1, 2, 65])
def test_any_batch_size_runs(images: int) -> None:
    pixels = np.frombuffer(image_of(7) * images, np.uint8).reshape(images, 784)
    answers = OnnxSession(tiny_graph(), "cpu", threads=1).run(pixels)
    assert answers.digits.tolist() == [7] * images
    assert answers.probabilities.shape == (images, 10)
    assert answers.novelties.shape == (images,)


def test_a_graph_with_another_signature_is_rejected() -> None:
    with pytest.raises(ModelRejectedError, match=r"signature .*keras_tensor.* expected .*pixels"):
        OnnxSession(tiny_graph(pixels_name="keras_tensor"), "cpu", threads=1)


def test_onnx_runtime_telemetry_is_off_before_it_is_loaded() -> None:
    program = (
        "import os, sys; import serving.models.onnx_session as m;"
        "source = open(m.__file__).read();"
        "assert source.index('ORT_DISABLE_TELEMETRY') < source.index('import onnxruntime');"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {name: text for name, text in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_bytes_that_are_no_graph_are_rejected() -> None:
    with pytest.raises(ModelRejectedError, match="cannot load the graph"):
        OnnxSession(b"no graph", "cpu", threads=1)
