"""What every test gets."""

import os
from collections.abc import Iterator

import pytest
import structlog

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports onnxruntime: it would report its use


pytest_plugins = ["tests.support.servers"]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """structlog keeps its configuration, and the captured stream in it, for the process: each test starts without."""
    yield
    structlog.reset_defaults()
