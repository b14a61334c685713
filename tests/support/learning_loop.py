"""Learning from operation, once around: traffic of a new population, alert, feedback, adapting, shadow, canary, pin.

Servers are processes that replace one another as in a rolling restart: the next one answers, then the last one drains.
A caller goes on calling all the time. Every call is counted.
"""

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from mnist_digits import CallError, DigitClient
from mnist_digits.results import Prediction
from tests.hostile.server import ServerProcess, server_process
from tests.support.processes import completed
from tests.support.prometheus import alerts, answer, prometheus

COUNTER = "counter"  # the caller that goes on all the time
DEPARTMENTS = tuple(f"department-{number}" for number in range(8))
JUDGED = 200  # compared pictures with feedback before the canary begins
SECONDS = 900.0  # for anything that is waited for: the machine may be busy
ALERT = "DigitsInputChanged"
_PACE_SECONDS = 0.25  # between two calls of the counter
_SEED = 20261129  # of the choice of pictures that feedback is given on
_STEP = 50  # pictures between two looks

_T = TypeVar("_T")
Labelled = Sequence[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Pictures or 784 raw pixels that callers send."""

    ordinary: Sequence[bytes]
    new: Labelled  # of the new population, from which feedback is given to learn from
    fresh: Labelled  # by other writers: read before and after, never learned


@dataclass
class Findings:
    """What one turn of the loop has shown."""

    calls: dict[str, int] = field(default_factory=lambda: {"classify": 0, "feedback": 0})
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # of each stage
    drift: dict[str, float] = field(default_factory=dict)  # index by feature for which the alert fired
    wrong: dict[str, int] = field(default_factory=dict)  # fresh pictures answered wrongly, by stage
    feedback_wrong: int = 0  # of the pictures that feedback was given on to learn from
    judged: dict[str, int] = field(default_factory=dict)  # by who was right: both, served, candidate, neither
    compared: str = ""  # what `versions compare` wrote
    canary: dict[int, list[int]] = field(default_factory=dict)  # by version: fresh pictures, and wrong ones
    drift_after: dict[str, float] = field(default_factory=dict)  # index by feature against the new version's reference
    alerts_after: list[str] = field(default_factory=list)


class Callers:
    """A client for each key, which knows both addresses of the service."""

    def __init__(self, ports: Sequence[int], keys: Mapping[str, str], findings: Findings) -> None:
        address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self._clients = {
            name: DigitClient(address, api_key=key, timeout_seconds=60, coalesce=False) for name, key in keys.items()
        }
        self._findings = findings
        self._lock = threading.Lock()

    def classify(self, name: str, pictures: bytes | Sequence[bytes]) -> list[Prediction]:
        return self._counted("classify", lambda: self._clients[name].classify(pictures))

    def feedback(self, name: str, prediction: Prediction, digit: int) -> None:
        self._counted("feedback", lambda: self._clients[name].feedback(prediction, digit))

    def read(self, labelled: Labelled, with_feedback: bool = False) -> list[tuple[str, Prediction, bool]]:
        """One call for each picture, from each department in turn: who sent it, the answer, and True if it is right."""
        found = []
        for name, (picture, digit) in zip(cycle(DEPARTMENTS), labelled, strict=False):
            (prediction,) = self.classify(name, picture)
            if with_feedback:
                self.feedback(name, prediction, digit)
            found.append((name, prediction, prediction.digit == digit and not prediction.refused))
        return found

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _counted(self, kind: str, call: Callable[[], _T]) -> _T:
        try:
            result = call()
        except CallError as error:
            with self._lock:
                self._findings.failures.append(f"{kind}: {error}")
            raise
        with self._lock:
            self._findings.calls[kind] += 1
        return result


class Loop:
    """The service, its callers and its Prometheus."""

    def __init__(
        self, repository: Path, folder: Path, keys: Mapping[str, str], keys_file: Path, traffic: Traffic
    ) -> None:
        """`keys`: of COUNTER and DEPARTMENTS, by name; `folder`: for the store and Prometheus."""
        self.findings = Findings()
        self.store = folder / "store.db"
        self._repository = repository
        self._folder = folder
        self._traffic = traffic
        self._ports = _free_ports(4)
        self._callers = Callers(self._ports[:2], keys, self.findings)
        self._servers = 0
        self._server: ServerProcess
        self._serving = ExitStack()
        self._began = time.monotonic()
        kept = ("--store", str(self.store), "--api-keys", str(keys_file))
        self._flags = ("--promote", "manual", "--model-poll-seconds", "0.5", *kept)

    def run(self, rules: str, adapt: Callable[[Path], Path]) -> Findings:
        """Goes once around. `rules`: text of Prometheus' alert rules; `adapt`: makes a version from a store."""
        with ExitStack() as stack:
            stack.callback(self._callers.close)
            stack.callback(lambda: self._serving.close())
            self._replace()
            stack.enter_context(self._counter())
            address = stack.enter_context(self._prometheus(rules))
            self._send_ordinary(address)
            self._stage("ordinary traffic")
            self._read_fresh("before")
            self._send_new_until_alert(address)
            self._stage("alert")
            self._give_feedback()
            self._stage("feedback")
            candidate = int(adapt(self.store).name)
            self._stage("adapted")
            self._replace("--shadow", f"{candidate}:100%")
            self._compare()
            self._stage("compared")
            self._replace("--canary", f"{candidate}:50%")
            self._try_canary(candidate)
            self._stage("canary")
            self._pin(candidate)
            answered = self._read_fresh("after")
            assert {prediction.model_version for _, prediction, _ in answered} == {candidate}
            self._stage("promoted")
            self.findings.drift_after = self._metric("mnist_drift_psi", "feature", window="5m")
            self.findings.alerts_after = sorted(alerts(address))
        assert self._server.end() == 0
        return self.findings

    def _stage(self, name: str) -> None:
        self.findings.seconds[name] = time.monotonic() - self._began

    def _replace(self, *flags: str) -> None:
        """Starts a server at the address that is free; the one before drains once this one answers."""
        at = self._servers % 2
        ports = ("--grpc-port", str(self._ports[at]), "--http-port", str(self._ports[2 + at]))
        before, stack = self._serving, ExitStack()
        server = stack.enter_context(server_process(self._repository, *self._flags, *ports, *flags))
        self._serving = stack
        if self._servers:
            assert self._server.end() == 0
            before.close()
        self._server = server
        self._servers += 1

    @contextmanager
    def _counter(self) -> Iterator[None]:
        """Calls with ordinary digits, one after the other, until the block ends."""
        ended = threading.Event()

        def call() -> None:
            for picture in cycle(self._traffic.ordinary):
                with suppress(CallError):  # counted
                    self._callers.classify(COUNTER, picture)
                if ended.wait(_PACE_SECONDS):
                    return

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def _prometheus(self, rules: str) -> Iterator[str]:
        folder = self._folder / "prometheus"
        folder.mkdir()
        (folder / "alerts.yml").write_text(rules)
        targets = [f"127.0.0.1:{port}" for port in self._ports[2:]]
        job = {"job_name": "digits", "static_configs": [{"targets": targets}]}
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration = {"global": every, "rule_files": ["alerts.yml"], "scrape_configs": [job]}
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(configuration))  # JSON is YAML
        with prometheus(path, folder / "data") as address:
            yield address

    def _send_ordinary(self, address: str) -> None:
        """Sends ordinary digits until Prometheus has an index of enough of them: no alert of drift is there."""
        for _ in _looks("images of ordinary traffic in Prometheus"):
            self._callers.classify(DEPARTMENTS[0], self._traffic.ordinary[:_STEP])
            found = answer(address, 'mnist_drift_images{window="5m",feature="ink"}')
            if found and float(found[0]["value"][1]) >= 600:
                break
        assert ALERT not in alerts(address)
        assert "DigitsDrifting" not in alerts(address)

    def _send_new_until_alert(self, address: str) -> None:
        pictures = cycle(self._traffic.new)
        for _ in _looks(f"{ALERT} firing"):
            self._callers.read([next(pictures) for _ in range(_STEP)])
            found = [each for each in alerts(address).get(ALERT, ()) if each["state"] == "firing"]
            if found:
                self.findings.drift = {each["labels"]["feature"]: float(each["value"]) for each in found}
                return

    def _give_feedback(self) -> None:
        """Feedback on 200 pictures of the new population, chosen by chance; the store has them afterwards."""
        chosen = np.random.default_rng(_SEED).permutation(len(self._traffic.new))[:200]
        given = self._callers.read([self._traffic.new[row] for row in chosen], with_feedback=True)
        self.findings.feedback_wrong = sum(not is_right for _, _, is_right in given)

    def _read_fresh(self, stage: str) -> list[tuple[str, Prediction, bool]]:
        found = self._callers.read(self._traffic.fresh)
        self.findings.wrong[stage] = sum(not is_right for _, _, is_right in found)
        return found

    def _compare(self) -> None:
        """Sends fresh pictures with feedback until enough of them were compared, and shows the comparison."""
        pictures = cycle(self._traffic.fresh)
        for _ in _looks(f"{JUDGED} compared pictures with feedback"):
            self._callers.read([next(pictures) for _ in range(_STEP)], with_feedback=True)
            if sum(self._metric("mnist_shadow_judged_total", "right").values()) >= JUDGED:
                break
        command = [sys.executable, "-m", "serving", "versions", "compare", "--http-port", str(self._server.http_port)]
        shown = completed(command)
        assert shown.returncode == 0, shown.stderr
        self.findings.compared = shown.stdout
        numbers = re.search(
            r"both right ([\d,]+), only \d+ ([\d,]+), only \d+ ([\d,]+), neither ([\d,]+)", shown.stdout
        )
        assert numbers, shown.stdout
        judged = [int(each.replace(",", "")) for each in numbers.groups()]
        self.findings.judged = dict(zip(("both", "served", "candidate", "neither"), judged, strict=True))

    def _try_canary(self, candidate: int) -> None:
        """Reads all fresh pictures: each department has one version's answers, and both versions answer."""
        for _ in _looks("the canary answering"):
            if 0.5 in self._metric("mnist_canary_share", "version").values():
                break
        version_of: dict[str, set[int]] = {}
        figures: dict[int, list[int]] = {}
        for name, prediction, is_right in self._callers.read(self._traffic.fresh):
            version_of.setdefault(name, set()).add(prediction.model_version)
            counts = figures.setdefault(prediction.model_version, [0, 0])
            counts[0] += 1
            counts[1] += not is_right
        assert all(len(versions) == 1 for versions in version_of.values()), version_of
        assert len(figures) == 2, figures
        assert max(figures) == candidate
        assert not any(self._metric("mnist_canary_returns_total", "reason").values())
        self.findings.canary = figures

    def _pin(self, version: int) -> None:
        place = ("--model-repository", str(self._repository))
        pinned = completed([sys.executable, "-m", "serving", "versions", "pin", str(version), *place])
        assert pinned.returncode == 0, pinned.stderr
        for _ in _looks(f"version {version} answering everybody"):
            answers = (self._callers.classify(name, self._traffic.ordinary[0]) for name in DEPARTMENTS)
            if {prediction.model_version for (prediction,) in answers} == {version}:
                return

    def _metric(self, name: str, label: str, **others: str) -> dict[str, float]:
        """Values of the server's metric by this label, of the samples with the other labels."""
        with urlopen(f"http://127.0.0.1:{self._server.http_port}/metrics", timeout=30) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {sample.labels[label]: sample.value for sample in samples if others.items() <= sample.labels.items()}


def _looks(awaited: str) -> Iterator[None]:
    """One turn for each look, for SECONDS at most."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield
    raise AssertionError(f"not seen: {awaited}")


def _free_ports(count: int) -> list[int]:
    """Ports that are free now: clients and Prometheus know them before the second server starts."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
