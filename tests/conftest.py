"""What every test gets."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """structlog keeps its configuration, and the captured stream in it, for the process: each test starts without."""
    yield
    structlog.reset_defaults()
