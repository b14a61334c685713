"""Learning from operation, once around: traffic of a new population, alert, feedback, adapting, shadow, canary, pin.

Servers are processes that replace one another as in a rolling restart: the next one answers, then the last one drains.
Callers go on calling all the time.
"""

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from mnist_digits.results import Prediction
from tests.hostile.server import ServerProcess, server_process
from tests.support.learning_loop.callers import DEPARTMENTS, Callers, Traffic
from tests.support.learning_loop.findings import Attempt, Findings, Series
from tests.support.processes import completed
from tests.support.prometheus import alerts, answer, over_time, prometheus

JUDGED = 200  # compared pictures with feedback before the canary begins
LABELLED = 200  # pictures that feedback is given on before each attempt to adapt
MOST_ATTEMPTS = 3
WATCHED = 1000  # images of the new version that Prometheus has an index of at the end
ANSWERS = 600  # to the caller that goes on: in the shadow, and of the new version as a canary and promoted
SECONDS = 1800.0  # for anything that is waited for: the machine may be busy
ALERT = "DigitsInputChanged"
_SEED = 1  # of the order in which pictures are labelled: the first seed that was tried
_STEP = 50  # pictures between two looks
_SERIES_SECONDS = 5  # between two points of what Prometheus has over time

# Makes a version from a store: its number, or None where it was refused; and what the command said.
Adapt = Callable[[Path], tuple[int | None, list[str]]]


class Loop:
    """The service, its callers and its Prometheus."""

    def __init__(
        self, repository: Path, folder: Path, keys: Mapping[str, str], keys_file: Path, traffic: Traffic
    ) -> None:
        """`keys`: of COUNTER and DEPARTMENTS, by name; `folder`: for the store and Prometheus."""
        self.findings = Findings(fresh=len(traffic.fresh))
        self.store = folder / "store.db"
        self._repository = repository
        self._folder = folder
        self._traffic = traffic
        self._ports = _free_ports(4)
        self._callers = Callers(self._ports[:2], keys, self.findings)
        self._servers = 0
        self._server: ServerProcess
        self._serving = ExitStack()
        self._began, self._began_at = time.monotonic(), time.time()
        kept = ("--store", str(self.store), "--api-keys", str(keys_file))
        self._flags = ("--promote", "manual", "--model-poll-seconds", "0.5", *kept)

    def run(self, rules: str, adapt: Adapt) -> Findings:
        """Goes once around. `rules`: text of Prometheus' alert rules.

        Raises AssertionError where a step is not reached; `findings` then has what was seen until there.
        """
        with ExitStack() as stack:
            stack.callback(self._callers.close)
            stack.callback(lambda: self._serving.close())
            self._replace()
            stack.enter_context(self._callers.ordinary(self._traffic.ordinary))
            address = stack.enter_context(self._prometheus(rules))
            stack.callback(self._keep_series, address)
            self._send_ordinary(address)
            self._stage("ordinary")
            stack.enter_context(self._callers.of_new_population(self._traffic.fresh, self._began))
            (served,) = {prediction.model_version for _, prediction, _ in self._read_fresh("before")}
            self._send_new_until_alert(address)
            self._stage("alert")
            candidate = self._learn(adapt)
            self._stage("adapted")
            self._replace("--shadow", f"{candidate}:100%")
            self._compare(served)
            self._stage("shadow")
            self._replace("--canary", f"{candidate}:50%")
            self._try_canary(candidate)
            self._stage("canary")
            self._pin(candidate)
            answered = self._read_fresh("after")
            assert {prediction.model_version for _, prediction, _ in answered} == {candidate}
            self._callers.wait_for_answers(candidate, ANSWERS, SECONDS)
            self._watch(address, candidate)
            self._stage("promoted")
        assert self._server.end() == 0
        return self.findings

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def _stage(self, name: str) -> None:
        self.findings.stages[name] = self._now()

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
        self._discovered()

    def _discovered(self) -> None:
        """Names the server to Prometheus, as a service discovery does."""
        written = self._folder / "targets.new"
        written.write_text(json.dumps([{"targets": [f"127.0.0.1:{self._server.http_port}"]}]))
        written.replace(self._folder / "targets.json")

    @contextmanager
    def _prometheus(self, rules: str) -> Iterator[str]:
        folder = self._folder / "prometheus"
        folder.mkdir()
        (folder / "alerts.yml").write_text(rules)
        job = {"job_name": "digits", "file_sd_configs": [{"files": [str(self._folder / "targets.json")]}]}
        every = {"scrape_interval": "5s", "evaluation_interval": "5s"}
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
        """Sends pictures of the new population until the alert fires for the feature that is to move.

        Others may fire before: the window of five minutes still has ordinary digits, which have no polarity.
        """
        pictures = cycle(self._traffic.new)
        for _ in _looks(f"{ALERT} firing for {self._traffic.moved}"):
            self._callers.read([next(pictures) for _ in range(_STEP)])
            found = [each for each in alerts(address).get(ALERT, ()) if each["state"] == "firing"]
            self.findings.drift = {each["labels"]["feature"]: float(each["value"]) for each in found}
            if self._traffic.moved in self.findings.drift:
                return

    def _learn(self, adapt: Adapt) -> int:
        """Labels pictures of the new population, chosen by chance, and adapts; more of them while it is refused.

        The version that was written.
        """
        order = np.random.default_rng(_SEED).permutation(len(self._traffic.new))
        wrong = 0
        for end in range(LABELLED, (MOST_ATTEMPTS + 1) * LABELLED, LABELLED):
            chosen = [self._traffic.new[row] for row in order[end - LABELLED : end]]
            wrong += sum(not is_right for _, _, is_right in self._callers.read(chosen, with_feedback=True))
            began = self._now()
            version, said = adapt(self.store)
            self.findings.attempts.append(Attempt(began, self._now(), end, wrong, version, said))
            if version is not None:
                return version
        raise AssertionError(f"refused {MOST_ATTEMPTS} times: {said}")

    def _read_fresh(self, stage: str) -> list[tuple[str, Prediction, bool]]:
        found = self._callers.read(self._traffic.fresh)
        self.findings.wrong[stage] = sum(not is_right for _, _, is_right in found)
        digits = [-1 if prediction.refused else prediction.digit for _, prediction, _ in found]
        self.findings.answered[stage] = digits
        return found

    def _compare(self, served: int) -> None:
        """Sends fresh pictures with feedback until enough of them were compared, goes on for a while, and compares."""
        pictures = cycle(self._traffic.fresh)
        for _ in _looks(f"{JUDGED} compared pictures with feedback"):
            self._callers.read([next(pictures) for _ in range(_STEP)], with_feedback=True)
            if sum(self._metric("mnist_shadow_judged_total", "right").values()) >= JUDGED:
                break
        self._callers.wait_for_answers(served, ANSWERS, SECONDS)
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
        self.findings.canary = figures
        self._callers.wait_for_answers(candidate, ANSWERS, SECONDS)
        assert not any(self._metric("mnist_canary_returns_total", "reason").values())

    def _pin(self, version: int) -> None:
        place = ("--model-repository", str(self._repository))
        pinned = completed([sys.executable, "-m", "serving", "versions", "pin", str(version), *place])
        assert pinned.returncode == 0, pinned.stderr
        for _ in _looks(f"version {version} answering everybody"):
            answers = (self._callers.classify(name, self._traffic.ordinary[0]) for name in DEPARTMENTS)
            if {prediction.model_version for (prediction,) in answers} == {version}:
                return

    def _watch(self, address: str, version: int) -> None:
        """Sends fresh pictures until Prometheus has the new version's index of enough of them."""
        pictures = cycle(self._traffic.fresh)
        images = f'mnist_drift_images{{window="5m",feature="ink",version="{version}"}}'
        for _ in _looks(f"an index of drift of version {version}"):
            self._callers.read([next(pictures) for _ in range(_STEP)])
            if any(float(each["value"][1]) >= WATCHED for each in answer(address, images)):
                break
        found = answer(address, f'mnist_drift_psi{{window="5m",version="{version}"}}')
        self.findings.drift_after = {each["metric"]["feature"]: float(each["value"][1]) for each in found}
        self.findings.alerts_after = {
            name: [f"{each['state']} {each['labels'].get('feature', '')}".strip() for each in found]
            for name, found in sorted(alerts(address).items())
        }

    def _keep_series(self, address: str) -> None:
        """Keeps what Prometheus has over time of drift and its alert."""

        def series(expression: str) -> dict[str, Series]:
            found = over_time(address, expression, self._began_at, time.time(), _SERIES_SECONDS)
            return {
                f"{each['metric']['feature']} {each['metric']['version']}": [
                    (round(at - self._began_at, 1), round(float(value), 3)) for at, value in each["values"]
                ]
                for each in found
            }

        self.findings.index = series('max by (feature, version) (mnist_drift_psi{window="5m"})')
        self.findings.firing = series(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}')

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
