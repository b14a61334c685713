"""The comparison: every server alone, then all of them in interleaved rounds, the idle ones suspended."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress

from benchmarks.compare.plan import Plan
from benchmarks.compare.results import Footprint, Results
from benchmarks.load.h2load import LoadError, measure
from benchmarks.load.in_process import CEILINGS, measure_in_process
from benchmarks.load.measurement import H2LOAD, Load, OpenLoop
from benchmarks.load.open_loop import measure_open_loop
from benchmarks.load.python_client import measure_python_client
from benchmarks.protocols.pictures import PICTURES, carrying
from benchmarks.protocols.protocol import Pixels, RequestError
from benchmarks.servers.environments import environment
from benchmarks.servers.example_network import example_repository, graph_file, sample_digits
from benchmarks.servers.lineup import Deployment, Server, our_python
from benchmarks.servers.running_server import (
    SINGLE_IMAGES,
    RunningServer,
    StartError,
    check_answers,
    expected_digits,
    run_server,
)

WARM_UP_SECONDS = 1.0  # at most; never longer than a measurement
BATCHED = 64  # images a request at which ONNX Runtime in process is measured too


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
        for load in self._plan.loads_alone(alone.name):
            target = _called_as(load, alone)
            with ThreadPoolExecutor(1) as generator:
                loaded = generator.submit(measure, target, load, self._pixels_of(load), self._warm_up_seconds)
                # Answers must be right under load as well: a batcher may return rows to the wrong callers.
                check_answers(target, self._pixels, self._expected[alone.name])
                loaded.result()
        return Footprint(
            ready_mebibytes=alone.ready_bytes / 2**20,
            memory_mebibytes=alone.processes.memory_bytes() / 2**20,
            start_seconds=alone.start_seconds,
        )

    def measure_together(self) -> None:
        """Measures in rounds, each load on its servers in turn, so that a noisy minute of the machine affects all.

        The order of the servers alternates.
        """
        loads = self._plan.every_load()
        with self._all_suspended() as suspended, _progress() as progress:
            task = progress.add_task("measuring", total=(self._plan.rounds + 1) * self._plan.measurements())
            for number in range(self._plan.rounds + 1):
                for load in loads:
                    for target in reversed(suspended) if number % 2 else suspended:
                        if load in self._plan.loads[target.name]:
                            self._measure_one(target, load, number)
                            progress.advance(task)
                    if number and isinstance(load, Load) and load.images == BATCHED:
                        self._measure_ceilings(load)

    def _measure_one(self, target: RunningServer, load: Load | OpenLoop, number: int) -> None:
        if self._results.has_failed(target.name, load):
            return
        is_warm_up = number == 0
        seconds = self._warm_up_seconds if is_warm_up else self._plan.seconds
        with self._resumed(target, load):
            if isinstance(load, OpenLoop):
                timed = replace(load, seconds=seconds) if is_warm_up else load
                tail = measure_open_loop(target, timed, self._pixels[:1])
                if not is_warm_up:
                    self._results.add_tail(target.name, tail)
                return
            by_client = measure if load.client == H2LOAD else measure_python_client
            measured = by_client(_called_as(load, target), load, self._pixels_of(load, number), seconds)
            if not is_warm_up:
                self._results.add(target.name, load, measured)

    def _pixels_of(self, load: Load, number: int = 0) -> Pixels:
        """The images of each request in a round. h2load sends one body only, so each round has another picture."""
        first = number % SINGLE_IMAGES if load.picture else 0
        return self._pixels[first : first + load.images]

    @contextmanager
    def _resumed(self, target: RunningServer, load: Load | OpenLoop) -> Iterator[None]:
        """Resumes `target` for the block. A load that fails is dropped: one peer must not end a long run."""
        target.processes.resume()
        try:
            yield
        except (LoadError, RequestError) as error:
            self._results.drop(target.name, str(error), load)
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


def _called_as(load: Load, running: RunningServer) -> RunningServer:
    """The server, called with the pictures of `load` if it has some."""
    if not load.picture:
        return running
    protocol = carrying(running.server.protocol, PICTURES[load.picture])
    return replace(running, server=replace(running.server, protocol=protocol))


def _progress() -> Progress:
    return Progress(console=Console(stderr=True))
