"""Our server alone, for the benchmarks that measure nobody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answers_in_process import answers_in_process
from benchmarks.example_network import digits_to_ask, example_repository, graph_file
from benchmarks.lineup import SERVERS, SOAKED, Place, our_python
from benchmarks.running_server import RunningServer, running


@contextmanager
def our_running_server(runs: Path, models: Path | None = None) -> Iterator[RunningServer]:
    """Our server with the example network, or one worker with the default model of `models`, until the block ends."""
    server = SOAKED if models else SERVERS["ours"]
    repository = (models or example_repository(runs)).absolute()
    graph, pixels = graph_file(repository), digits_to_ask()
    folder = runs / "servers" / "alone"
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(our_python(), graph, repository, folder)
    with running(server, place, pixels, answers_in_process(graph, pixels)) as started:
        yield started
