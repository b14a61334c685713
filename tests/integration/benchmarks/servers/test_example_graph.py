"""The network of the comparison is Keras' example, in the form that our server loads."""

import numpy as np

from benchmarks.servers.example_graph import trained_example_graph
from serving.models.onnx_session import OnnxSession
from tests.support.tiny_training import deterministic  # noqa: F401  # TensorFlow's threads are set once a process


def test_the_graph_gives_what_keras_gives_with_the_servers_signature() -> None:
    data = np.load("tests/data/digits.npz")
    graph = trained_example_graph(data["pixels"], data["label"], seed=1, epochs=3)  # raises where Keras differs
    answers = OnnxSession(graph, "cpu", threads=1).run(data["pixels"])
    assert np.mean(answers.digits == data["label"]) > 0.5
    np.testing.assert_allclose(answers.novelties, 1 - answers.probabilities.max(axis=1), atol=1e-6)
