"""A folder of runs where a tiny model stands in for the example network, so that nothing is trained."""

from pathlib import Path

import pytest

from benchmarks.servers.example_network import example_folder
from tests.support.tiny_model import write_tiny_version
from training.config import TrainingConfig
from training.environment import make_deterministic


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmark"
    write_tiny_version(example_folder(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def _tensorflow_threads_of_the_training_tests() -> None:
    """TensorFlow's threads are set once for a process, and the example network is made by TensorFlow in this one."""
    make_deterministic(TrainingConfig().threads)
