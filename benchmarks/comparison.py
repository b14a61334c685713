"""The benchmark itself: every server alone, then all of them in interleaved rounds, the idle ones frozen."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.environments import environment
from benchmarks.example_network import digits_to_ask, example_repository, graph_file
from benchmarks.h2load import LoadError, measure
from benchmarks.in_process import LIMITS, measure_in_process
from benchmarks.lineup import Place, Server, our_python
from benchmarks.measurement import Load
from benchmarks.results import Alone, Results
from benchmarks.running_server import RunningServer, check_answers, running
from benchmarks.wire.protocol import AskError, Pixels

WARM_UP_SECONDS = 1
BATCHED = 64  # images a call at which ONNX Runtime in process is measured too


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long. `runs`: the folder for environments, graphs and logs."""

    servers: tuple[Server, ...]
    loads: tuple[Load, ...]
    rounds: int
    seconds: int
    runs: Path
    models: Path


class Comparison:
    """Measures a plan."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results
        self._pixels = digits_to_ask()
        self._places: dict[str, Place] = {}
        self._expected: dict[str, list[int]] = {}

    def prepare(self) -> None:
        """Graphs and environments, made where they are missing, and the answers to expect."""
        example = example_repository(self._plan.runs)
        for server in self._plan.servers:
            repository = self._plan.models if server.model else example
            graph = graph_file(repository, server.model or "mnist").absolute()
            python = environment(server.peer, self._plan.runs / "peers", server.python) if server.peer else our_python()
            folder = (self._plan.runs / "servers" / server.name).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            self._places[server.name] = Place(python, graph, repository.absolute(), folder)
            self._expected[server.name] = _answers_in_process(graph, self._pixels)

    def measure_alone(self) -> None:
        """Memory and start of each server while no other runs: those of one environment share pages."""
        for server in self._plan.servers:
            with self._running(server) as alone, ThreadPoolExecutor(1) as load_generator:
                for load in self._plan.loads:
                    pixels = self._pixels[: load.images]
                    loaded = load_generator.submit(measure, alone, load, pixels, WARM_UP_SECONDS)
                    # Answers must be right under load as well: a batcher may hand rows to the wrong owners.
                    check_answers(alone, self._pixels, self._expected[server.name])
                    loaded.result()
                mebibytes = alone.processes.memory_bytes() / 2**20
                self._results.alone[server.name] = Alone(mebibytes, alone.start_seconds)

    def measure_together(self) -> None:
        """Load by load and round by round, so that a noisy minute of the machine falls on everybody."""
        with ExitStack() as stack:
            frozen = []
            for server in self._plan.servers:
                frozen.append(stack.enter_context(self._running(server)))
                frozen[-1].processes.freeze()
            console = Console(stderr=True)
            with Progress(console=console) as progress:
                steps = (self._plan.rounds + 1) * len(self._plan.loads) * len(frozen)
                task = progress.add_task("measuring", total=steps)
                for number in range(self._plan.rounds + 1):
                    for load in self._plan.loads:
                        for target in frozen:
                            if target.name not in self._results.failed:
                                self._measure_one(target, load, is_warm_up=number == 0)
                            progress.advance(task)
                        if number and load.images == BATCHED:
                            self._measure_limits(load)

    def _measure_one(self, target: RunningServer, load: Load, is_warm_up: bool) -> None:
        target.processes.thaw()
        seconds = WARM_UP_SECONDS if is_warm_up else self._plan.seconds
        try:
            measured = measure(target, load, self._pixels[: load.images], seconds)
        except (LoadError, AskError) as error:  # a run of half an hour is not lost for one peer
            self._results.drop(target.name, f"{load.title}: {error}")
            return
        finally:
            target.processes.freeze()
        if not is_warm_up:
            self._results.add(target.name, load, measured)

    def _measure_limits(self, load: Load) -> None:
        graph = graph_file(example_repository(self._plan.runs))
        for limit in LIMITS:
            self._results.add(limit.name, load, measure_in_process(limit, graph, load, self._plan.seconds))

    @contextmanager
    def _running(self, server: Server) -> Iterator[RunningServer]:
        with running(server, self._places[server.name], self._pixels, self._expected[server.name]) as started:
            yield started


def _answers_in_process(graph: Path, pixels: Pixels) -> list[int]:
    from benchmarks.peers.onnx_session import Session

    digits = np.asarray(Session(str(graph)).run(pixels)["digit"])
    return [int(digit) for digit in digits]
