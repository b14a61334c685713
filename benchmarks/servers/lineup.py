"""The servers of the comparison: how each one is started, and which protocol it speaks."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.protocols.mnist_v1 import CLASSIFY, HTTP_PNG
from benchmarks.protocols.open_inference import ECHO, open_inference
from benchmarks.protocols.our_http import CLASSIFY_HTTP, INFER_HTTP
from benchmarks.protocols.peer_contracts import TUTORIAL, base64_json, picture_http, raw_http
from benchmarks.protocols.protocol import Protocol
from benchmarks.servers.environments import DEBIAN_PYTHON
from serving.api.engine.engines import LISTENERS
from serving.host.cpu import worker_count

ROOT = Path(__file__).parents[2]
# The default arrangement of our server, which the echo server takes too: a worker for each processor, listeners divided
# among them.
WORKERS = worker_count(0, "cpu")
BATCH = 64  # largest batch of a peer's batcher, as in ours


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a server is started with: its Python, the graph or repository to serve, and a folder of its own."""

    python: Path
    graph: Path
    repository: Path
    folder: Path
    root: Path = ROOT  # the checkout that it runs from


GRPC_FIRST, HTTP_FIRST = ("--grpc-port", "--http-port"), ("--http-port", "--grpc-port")
Command = Callable[[Deployment, list[int]], list[str]]  # the command line, from a deployment and free ports


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be measured. `peer`: the folder in peers/ with its requirements; None: our own environment."""

    name: str
    title: str
    protocol: Protocol
    command: Command
    peer: str | None = None
    python: Path | None = None  # required by the peer's environment
    returns_digits: bool = True
    model: str | None = None  # of our repository; None: the example network
    variables: Mapping[str, str] = field(default_factory=dict)  # of its environment

    def environment(self, deployment: Deployment) -> dict[str, str]:
        """Environment variables that the server gets in addition to the benchmark's own."""
        # Ours also keeps the folders of packages that the benchmark itself was given.
        ours = [str(deployment.root), str(deployment.root / "client"), *os.environ.get("PYTHONPATH", "").split(":")]
        return {
            "PYTHONPATH": ":".join(filter(None, ours)) if self.peer is None else str(ROOT),
            "GRAPH_FILE": str(deployment.graph),
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "",
            # Our watchdog ends a worker whose loop stood still for longer than an inference may take. A server that is
            # suspended while the others have their turns stands still for minutes.
            "MNIST_INFERENCE_TIMEOUT_SECONDS": "0",
            **self.variables,
        }


def our_server(
    *more: str, module: str = "serving", log_level: str = "warning", port_flags: Sequence[str] = GRPC_FIRST
) -> Command:
    """The command line of our server, with flags `more`. `port_flags`: the port that is loaded first."""

    def command(deployment: Deployment, ports: list[int]) -> list[str]:
        listening = [text for flag, port in zip(port_flags, ports, strict=False) for text in (flag, str(port))]
        return [
            *(str(deployment.python), "-m", module, "--model-repository", str(deployment.repository)),
            *("--log-level", log_level, *listening, *more),
        ]

    return command


def _peer(module: str, other_ports: int = 0, *more: str, folder: bool = False) -> Command:
    """`-m benchmarks.peers.MODULE PORT [OTHER_PORTS] GRAPH [FOLDER] [MORE]`."""

    def command(deployment: Deployment, ports: list[int]) -> list[str]:
        return [
            *(str(deployment.python), "-m", f"benchmarks.peers.{module}", *map(str, ports[: 1 + other_ports])),
            *(str(deployment.graph), *([str(deployment.folder)] if folder else []), *more),
        ]

    return command


def _echo(deployment: Deployment, ports: list[int]) -> list[str]:
    arrangement = ["--workers", str(WORKERS), "--listeners", str(max(2, LISTENERS // WORKERS))]
    return [str(deployment.python), "-m", "benchmarks.servers.echo_server", str(ports[0]), *arrangement]


def _completion_queue_echo(deployment: Deployment, ports: list[int]) -> list[str]:
    return [str(deployment.python), "-m", "benchmarks.servers.completion_queue_echo", str(ports[0])]


def _uvicorn(module: str) -> Command:
    """Uvicorn with two workers of benchmarks.peers.MODULE."""

    def command(deployment: Deployment, ports: list[int]) -> list[str]:
        return [
            *(str(deployment.python), "-m", "uvicorn", "--port", str(ports[0]), "--workers", "2", "--no-access-log"),
            *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning", f"benchmarks.peers.{module}:app"),
        ]

    return command


def _bentoml(deployment: Deployment, ports: list[int]) -> list[str]:
    service = "benchmarks.peers.bentoml.server:Digits"
    executable = str(deployment.python.with_name("bentoml"))
    return [executable, "serve", service, "--host", "127.0.0.1", "--port", str(ports[0])]


def _sampled(share: str) -> dict[str, str]:
    """Variables by which so many calls are traced. The benchmark's own environment says where the collector is."""
    return {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}


_OPEN_INFERENCE = open_inference()

OURS = (
    Server("ours", "ours", _OPEN_INFERENCE, our_server()),
    Server("ours-classify", "ours, mnist.v1", CLASSIFY, our_server()),
    Server("ours-one", "ours, one worker", _OPEN_INFERENCE, our_server("--workers", "1", "--inference-threads", "1")),
    Server("ours-mnist", "ours, model mnist", _OPEN_INFERENCE, our_server(), model="mnist"),
    Server(
        "ours-int8", "ours, mnist-int8", open_inference("mnist-int8"),
        our_server("--model-name", "mnist-int8"), model="mnist-int8",
    ),
)  # fmt: skip
# Measured only when named or when a target needs them: HTTP (compare with fastapi), pictures (compare with
# fastapi-pictures), the other gRPC engine, the access log and traces (compare with ours), metrics (compare with
# ours-one), and the server whose memory is measured.
VARIANTS = (
    Server("ours-http", "ours, HTTP", CLASSIFY_HTTP, our_server(port_flags=HTTP_FIRST)),
    Server("ours-http-infer", "ours, HTTP, Open Inference", INFER_HTTP, our_server(port_flags=HTTP_FIRST)),
    Server("ours-pictures", "ours, pictures", HTTP_PNG, our_server(port_flags=HTTP_FIRST)),
    Server(
        "ours-one-pictures", "ours, one worker, pictures", HTTP_PNG,
        our_server("--workers", "1", "--inference-threads", "1", port_flags=HTTP_FIRST),
    ),
    Server("ours-aio", "ours, on grpc.aio", _OPEN_INFERENCE, our_server("--grpc-engine", "aio")),
    Server(
        "ours-logged", "ours, with an access log", _OPEN_INFERENCE,
        our_server("--access-log", "--log-format", "json", log_level="info"),
    ),
    Server(
        "ours-traced", "ours, 1 % of calls traced", _OPEN_INFERENCE, our_server("--traces"), variables=_sampled("0.01")
    ),
    Server("ours-traced-all", "ours, all traced", _OPEN_INFERENCE, our_server("--traces"), variables=_sampled("1")),
    Server(
        "ours-one-unmetered", "ours, one worker, metrics count nothing", _OPEN_INFERENCE,
        our_server("--workers", "1", "--inference-threads", "1", module="benchmarks.servers.unmetered_server"),
    ),
    Server(
        "ours-one-mnist", "ours, one worker, model mnist", _OPEN_INFERENCE, our_server("--workers", "1"), model="mnist",
    ),
)  # fmt: skip
PEERS = (
    Server(
        "triton", "Triton, Python backend", _OPEN_INFERENCE,
        _peer("triton.server", folder=True), "triton", DEBIAN_PYTHON,
    ),
    Server("kserve", "KServe", _OPEN_INFERENCE, _peer("kserve.server", 1), "kserve"),
    Server("mlserver", "MLServer", _OPEN_INFERENCE, _peer("mlserver.server", 2, "0", folder=True), "mlserver"),
    Server(
        "mlserver-batching", "MLServer, batching", _OPEN_INFERENCE,
        _peer("mlserver.server", 2, str(BATCH), folder=True), "mlserver",
    ),
    Server("fastapi", "FastAPI, 2 workers", raw_http("/read"), _uvicorn("fastapi.server"), "fastapi"),
    Server(
        "fastapi-pictures", "FastAPI with Pillow, 2 workers", picture_http("/read"),
        _uvicorn("fastapi.picture_server"), "fastapi",
    ),
    Server("grpcio-tutorial", "grpcio tutorial", TUTORIAL, _peer("grpcio_tutorial.server"), "grpcio_tutorial"),
    Server("litserve", "LitServe, 2 workers", base64_json("/read"), _peer("litserve.server"), "litserve"),
    Server("bentoml", "BentoML, batching", base64_json("/read"), _bentoml, "bentoml"),
    Server("echo", "gRPC echo, no work", ECHO, _echo, returns_digits=False),
    Server(
        "echo-completion-queue", "completion-queue echo, 1 process", ECHO,
        _completion_queue_echo, returns_digits=False,
    ),
)  # fmt: skip
SERVERS = {server.name: server for server in (*OURS, *VARIANTS, *PEERS)}


def our_python() -> Path:
    """The Python that runs the benchmark, and our server."""
    return Path(sys.executable)
