"""Servers that send traces: each worker its own, all of them at the end, and none that waits for a dead collector."""

import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.e2e.test_hangup import until_event
from tests.support.collector import collector, endpoint_of, silent_collector
from tests.support.processes import END_SECONDS, completed, server_command, started, without_settings
from tests.support.tiny_model import image_of

PATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600"}  # the exporter itself would try for ten minutes
RAW = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(3))])


def serving(endpoint: str, repository: Path, workers: int, **variables: str) -> AbstractContextManager[Popen[str]]:
    settings = without_settings() | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} | variables
    command = server_command("--traces", "--workers", str(workers), "--model-repository", repository)
    return started(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def classify(address: str) -> int:
    """Classifies over a connection of its own, which any worker may get."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return int(DigitClassifierStub(channel).Classify(RAW, timeout=60).predictions[0].digit)


def ended(process: Popen[str]) -> str:
    """Ends the server by SIGTERM, with status 0. Returns its log."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0
    assert "threads_left" not in log
    return log


def test_every_worker_sends_its_own_and_the_last_at_the_end(tiny_repository: Path) -> None:
    with collector() as received, serving(received.endpoint, tiny_repository, 2) as process:
        address = until_event(process, "serving")["grpc"]
        calls = 0
        pids: set[int] = set()
        while len(pids) < 2:  # the kernel chooses the worker of each connection
            assert [classify(address) for _ in range(8)] == [3] * 8
            calls += 8
            received.until(calls)
            pids = {resource["process.pid"] for resource in received.resources}
            assert calls < 80
        assert classify(address) == 3
        log = ended(process)
        assert process.pid not in pids
        assert len(received.whole()) == calls + 1
        assert len({resource["service.instance.id"] for resource in received.resources}) == 2
        assert "traces_" not in log


def test_a_collector_that_never_answers_delays_neither_an_answer_nor_the_end(tiny_repository: Path) -> None:
    with silent_collector() as listening, serving(endpoint_of(listening), tiny_repository, 2, **PATIENT) as process:
        address = until_event(process, "serving")["grpc"]
        assert classify(address) == 3
        connection, _ = listening.accept()  # by the exporter, which waits from now on
        with connection:
            assert [classify(address) for _ in range(20)] == [3] * 20
            log = ended(process)
        assert "traces_not_sent" in log


def test_a_collector_that_is_not_there_delays_neither_an_answer_nor_the_end(tiny_repository: Path) -> None:
    with silent_collector() as listening:
        endpoint = endpoint_of(listening)
    with serving(endpoint, tiny_repository, 1, **PATIENT) as process:
        address = until_event(process, "serving")["grpc"]
        assert classify(address) == 3
        assert "retrying" in until_event(process, "traces_failing")["why"]
        assert [classify(address) for _ in range(20)] == [3] * 20
        log = ended(process)
        assert "traces_not_sent" in log


def test_without_opentelemetry_the_server_says_what_to_install(tiny_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry.py").touch()  # in place of the package: nothing of it can be imported
    variables = without_settings()
    variables["PYTHONPATH"] = f"{tmp_path}:{variables.get('PYTHONPATH', '')}"
    command = server_command("--traces", "--workers", "2", "--model-repository", tiny_repository)
    done = completed(command, env=variables)
    assert done.returncode == 2
    assert "pip install 'mnist-digits[traces]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_cannot_be_used_ends_the_start(tiny_repository: Path) -> None:
    command = server_command("--traces", "--workers", "1", "--model-repository", tiny_repository)
    done = completed(command, env=without_settings() | {"OTEL_TRACES_SAMPLER": "sometimes"})
    assert done.returncode == 2
    assert "OTEL_TRACES_SAMPLER: expected one of always_on, " in done.stderr
    assert "Traceback" not in done.stderr
