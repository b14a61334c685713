"""What every test gets, which tests run in this run, and which of two processes runs them."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from serving.api.engine.loop import CompletionQueueLoop
from tests.support.examples import SEARCHED

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports onnxruntime: it would report its use


pytest_plugins = ["tests.support.servers"]

# tests/support/examples.py says what each is for. A busy machine stalls now and then: no example has a deadline.
settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, derandomize=False, max_examples=SEARCHED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

TENSORFLOW = ("tests/integration/training", "tests/integration/experiments", "tests/integration/benchmarks")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs the long forms too."""
    parser.addoption("--long", action="store_true", help="run the tests marked `long` too")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every test on the event loop that the server runs on, which any other program can run on too."""
    return {"queue": CompletionQueueLoop}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m serial`, imports no file without that mark, nor its conftest.py: TensorFlow alone takes seconds."""
    if config.option.markexpr != "serial":
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return not any("mark.serial" in file.read_text() for file in files) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the long forms unless `--long` is given, and else lets each take as long as it needs."""
    long = [item for item in items if item.get_closest_marker("long")]
    if config.option.long:
        for item in long:
            item.add_marker(pytest.mark.timeout(0))
        return
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


class OneProcessForTensorFlow(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """xdist's `--dist loadfile`, and all files that compute with TensorFlow as if they were one.

    A process that has imported it keeps a gigabyte, and its number of threads is set once (make_deterministic).
    """

    def _split_scope(self, nodeid: str) -> str:
        return "TensorFlow" if nodeid.startswith(TENSORFLOW) else nodeid.split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneProcessForTensorFlow:
    """The scheduler of `-n`. Files keep their order: short ones, the unit tests, come last and fill the gaps."""
    config.option.loadscopereorder = False
    return OneProcessForTensorFlow(config, log)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """structlog keeps its configuration, and the captured stream in it, for the process: each test starts without."""
    yield
    structlog.reset_defaults()
