"""The comparison: every server alone, then all of them in interleaved rounds, the idle ones suspended."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.compare.results import Footprint, Results
from benchmarks.load.h2load import LoadError, measure
from benchmarks.load.in_process import CEILINGS, measure_in_process
from benchmarks.load.measurement import Load
from benchmarks.load.open_loop import measure_open_loop
from benchmarks.protocols.protocol import RequestError
from benchmarks.servers.environments import environment
from benchmarks.servers.example_network import example_repository, graph_file, sample_digits
from benchmarks.servers.lineup import Deployment, Server, our_python
from benchmarks.servers.running_server import RunningServer, StartError, check_answers, expected_digits, run_server

WARM_UP_SECONDS = 1.0  # at most; never longer than a measurement
BATCHED = 64  # images a request at which ONNX Runtime in process is measured too


@dataclass(frozen=True, slots=True)
class Plan:
    """Servers and loads to measure, and how long. `runs`: the folder for environments, graphs and logs."""

    servers: tuple[Server, ...]
    loads: tuple[Load, ...]
    rounds: int
    seconds: float
    runs: Path
    models: Path


class Comparison:
    """Measures a plan and adds the figures to `results`."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results
        self._pixels = sample_digits()
        self._deployments: dict[str, Deployment] = {}
        self._expected: dict[str, list[int]] = {}

    @property
    def _warm_up_seconds(self) -> float:
        return min(WARM_UP_SECONDS, self._plan.seconds)

    def prepare(self) -> None:
        """Makes graphs and environments that are missing, and computes the expected digits."""
        example = example_repository(self._plan.runs)
        for server in self._plan.servers:
            repository = self._plan.models if server.model else example
            graph = graph_file(repository, server.model or "mnist").absolute()
            python = environment(server.peer, self._plan.runs / "peers", server.python) if server.peer else our_python()
            folder = (self._plan.runs / "servers" / server.name).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            self._deployments[server.name] = Deployment(python, graph, repository.absolute(), folder)
            self._expected[server.name] = expected_digits(graph, self._pixels)

    def measure_alone(self) -> None:
        """Measures memory and start of each server while no other runs: servers of one environment share pages."""
        for server in self._plan.servers:
            print(f"{server.title}: alone ...", file=sys.stderr)
            try:
                with self._running(server) as alone:
                    self._results.alone[server.name] = self._measure_alone(alone)
            except (StartError, LoadError, RequestError) as error:
                self._results.drop(server.name, f"alone: {error}")

    def _measure_alone(self, alone: RunningServer) -> Footprint:
        for load in self._plan.loads:
            with ThreadPoolExecutor(1) as generator:
                loaded = generator.submit(measure, alone, load, self._pixels[: load.images], self._warm_up_seconds)
                # Answers must be right under load as well: a batcher may return rows to the wrong callers.
                check_answers(alone, self._pixels, self._expected[alone.name])
                loaded.result()
        return Footprint(alone.processes.memory_bytes() / 2**20, alone.start_seconds)

    def measure_together(self) -> None:
        """Measures every load on every server in rounds, so that a noisy minute of the machine affects all."""
        with self._all_suspended() as suspended, _progress() as progress:
            task = progress.add_task(
                "measuring", total=(self._plan.rounds + 1) * len(self._plan.loads) * len(suspended)
            )
            for number in range(self._plan.rounds + 1):
                for load in self._plan.loads:
                    for target in suspended:
                        if target.name not in self._results.failed:
                            self._measure_one(target, load, is_warm_up=number == 0)
                        progress.advance(task)
                    if number and load.images == BATCHED:
                        self._measure_ceilings(load)

    def measure_tails(self, rates: Sequence[float]) -> None:
        """Measures latency at fixed rates, one digit a request, for the servers that speak gRPC."""
        with self._all_suspended() as every, _progress() as progress:
            grpc_servers = [target for target in every if target.server.protocol.is_grpc]
            task = progress.add_task("measuring", total=(self._plan.rounds + 1) * len(rates) * len(grpc_servers))
            for number in range(self._plan.rounds + 1):
                for rate in rates:
                    for target in grpc_servers:
                        if target.name not in self._results.failed:
                            self._measure_tail(target, rate, is_warm_up=number == 0)
                        progress.advance(task)

    def _measure_tail(self, target: RunningServer, rate: float, is_warm_up: bool) -> None:
        seconds = self._warm_up_seconds if is_warm_up else self._plan.seconds
        with self._resumed(target, f"{rate:,.0f} requests/s"):
            tail = measure_open_loop(target, rate, self._pixels[:1], seconds)
            if not is_warm_up:
                self._results.add_tail(target.name, tail)

    def _measure_one(self, target: RunningServer, load: Load, is_warm_up: bool) -> None:
        seconds = self._warm_up_seconds if is_warm_up else self._plan.seconds
        with self._resumed(target, load.title):
            measured = measure(target, load, self._pixels[: load.images], seconds)
            if not is_warm_up:
                self._results.add(target.name, load, measured)

    @contextmanager
    def _resumed(self, target: RunningServer, what: str) -> Iterator[None]:
        """Resumes `target` for the block. A server that fails is dropped: one peer must not end a long run."""
        target.processes.resume()
        try:
            yield
        except (LoadError, RequestError) as error:
            self._results.drop(target.name, f"{what}: {error}")
        finally:
            # A batch suspended halfway would look endless to a batcher that learns from how long batches take.
            target.processes.wait_until_idle()
            target.processes.suspend()

    @contextmanager
    def _all_suspended(self) -> Iterator[list[RunningServer]]:
        with ExitStack() as stack:
            suspended = []
            for server in self._plan.servers:
                if server.name in self._results.failed:
                    continue
                suspended.append(stack.enter_context(self._running(server)))
                suspended[-1].processes.wait_until_idle()
                suspended[-1].processes.suspend()
            yield suspended

    def _measure_ceilings(self, load: Load) -> None:
        graph = graph_file(example_repository(self._plan.runs))
        for ceiling in CEILINGS:
            self._results.add(ceiling.name, load, measure_in_process(ceiling, graph, load, self._plan.seconds))

    @contextmanager
    def _running(self, server: Server) -> Iterator[RunningServer]:
        with run_server(server, self._deployments[server.name], self._pixels, self._expected[server.name]) as started:
            yield started


def _progress() -> Progress:
    return Progress(console=Console(stderr=True))
