"""The benchmark itself: every server alone, then all of them in interleaved rounds, the idle ones frozen."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.answers_in_process import answers_in_process
from benchmarks.environments import environment
from benchmarks.example_network import digits_to_ask, example_repository, graph_file
from benchmarks.h2load import LoadError, measure
from benchmarks.in_process import LIMITS, measure_in_process
from benchmarks.lineup import Place, Server, our_python
from benchmarks.measurement import Load
from benchmarks.open_loop import measure_open_loop
from benchmarks.results import Alone, Results
from benchmarks.running_server import RunningServer, StartError, check_answers, running
from benchmarks.wire.protocol import AskError

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
            self._expected[server.name] = answers_in_process(graph, self._pixels)

    def measure_alone(self) -> None:
        """Memory and start of each server while no other runs: those of one environment share pages."""
        for server in self._plan.servers:
            print(f"{server.title}: alone ...", file=sys.stderr)
            try:
                with self._running(server) as alone:
                    self._results.alone[server.name] = self._measure_alone(alone)
            except (StartError, LoadError, AskError) as error:
                self._results.drop(server.name, f"alone: {error}")

    def _measure_alone(self, alone: RunningServer) -> Alone:
        for load in self._plan.loads:
            with ThreadPoolExecutor(1) as generator:
                loaded = generator.submit(measure, alone, load, self._pixels[: load.images], WARM_UP_SECONDS)
                # Answers must be right under load as well: a batcher may hand rows to the wrong owners.
                check_answers(alone, self._pixels, self._expected[alone.name])
                loaded.result()
        return Alone(alone.processes.memory_bytes() / 2**20, alone.start_seconds)

    def measure_together(self) -> None:
        """Load by load and round by round, so that a noisy minute of the machine falls on everybody."""
        with self._all_frozen() as frozen, _progress() as progress:
            task = progress.add_task("measuring", total=(self._plan.rounds + 1) * len(self._plan.loads) * len(frozen))
            for number in range(self._plan.rounds + 1):
                for load in self._plan.loads:
                    for target in frozen:
                        if target.name not in self._results.failed:
                            self._measure_one(target, load, is_warm_up=number == 0)
                        progress.advance(task)
                    if number and load.images == BATCHED:
                        self._measure_limits(load)

    def measure_tails(self, rates: Sequence[float]) -> None:
        """The same at fixed rates, one digit a request, of the servers that speak gRPC."""
        with self._all_frozen() as every, _progress() as progress:
            frozen = [target for target in every if target.server.protocol.is_grpc]
            task = progress.add_task("measuring", total=(self._plan.rounds + 1) * len(rates) * len(frozen))
            for number in range(self._plan.rounds + 1):
                for rate in rates:
                    for target in frozen:
                        if target.name not in self._results.failed:
                            self._measure_tail(target, rate, is_warm_up=number == 0)
                        progress.advance(task)

    def _measure_tail(self, target: RunningServer, rate: float, is_warm_up: bool) -> None:
        seconds = WARM_UP_SECONDS if is_warm_up else self._plan.seconds
        with self._thawed(target, f"{rate:,.0f} requests/s"):
            tail = measure_open_loop(target, rate, self._pixels[:1], seconds)
            if not is_warm_up:
                self._results.add_tail(target.name, tail)

    def _measure_one(self, target: RunningServer, load: Load, is_warm_up: bool) -> None:
        seconds = WARM_UP_SECONDS if is_warm_up else self._plan.seconds
        with self._thawed(target, load.title):
            measured = measure(target, load, self._pixels[: load.images], seconds)
            if not is_warm_up:
                self._results.add(target.name, load, measured)

    @contextmanager
    def _thawed(self, target: RunningServer, what: str) -> Iterator[None]:
        """Lets `target` run for the block. If it fails it is out: a run of half an hour is not lost for one peer."""
        target.processes.thaw()
        try:
            yield
        except (LoadError, AskError) as error:
            self._results.drop(target.name, f"{what}: {error}")
        finally:
            # A batch that is stopped halfway would look endless to a batcher that learns from how long batches take.
            target.processes.wait_until_idle()
            target.processes.freeze()

    @contextmanager
    def _all_frozen(self) -> Iterator[list[RunningServer]]:
        with ExitStack() as stack:
            frozen = []
            for server in self._plan.servers:
                if server.name in self._results.failed:
                    continue
                frozen.append(stack.enter_context(self._running(server)))
                frozen[-1].processes.wait_until_idle()
                frozen[-1].processes.freeze()
            yield frozen

    def _measure_limits(self, load: Load) -> None:
        graph = graph_file(example_repository(self._plan.runs))
        for limit in LIMITS:
            self._results.add(limit.name, load, measure_in_process(limit, graph, load, self._plan.seconds))

    @contextmanager
    def _running(self, server: Server) -> Iterator[RunningServer]:
        with running(server, self._places[server.name], self._pixels, self._expected[server.name]) as started:
            yield started


def _progress() -> Progress:
    return Progress(console=Console(stderr=True))
