"""The network of the comparison is Keras' example, in the form that our server loads."""

import numpy as np
import pytest

from benchmarks.servers.example_graph import trained_example_graph
from serving.models.onnx_session import OnnxSession
from training.config import TrainingConfig
from training.environment import make_deterministic


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_threads_of_the_training_tests() -> None:
    """TensorFlow's threads are set once for a process, and the example network is made by TensorFlow in this one."""
    make_deterministic(TrainingConfig().threads)


def test_the_graph_gives_what_keras_gives_with_the_servers_signature() -> None:
    data = np.load("tests/data/digits.npz")
    graph = trained_example_graph(data["pixels"], data["label"], seed=1, epochs=3)  # raises where Keras differs
    answers = OnnxSession(graph, "cpu", threads=1).run(data["pixels"])
    assert np.mean(answers.digits == data["label"]) > 0.5
    np.testing.assert_allclose(answers.novelties, 1 - answers.probabilities.max(axis=1), atol=1e-6)
