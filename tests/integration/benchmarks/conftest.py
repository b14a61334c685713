"""A folder of runs where a tiny model stands in for the example network, so that nothing is trained."""

from pathlib import Path

import pytest

from benchmarks.servers.example_network import example_folder
from tests.support.tiny_model import write_tiny_version


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmark"
    write_tiny_version(example_folder(folder))
    return folder
