"""A folder of runs in which the example network is there already: a tiny model, so that nothing is trained."""

from pathlib import Path

import pytest

from benchmarks.example_network import example_folder
from tests.tiny_model import write_tiny_version


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmark"
    write_tiny_version(example_folder(folder))
    return folder
