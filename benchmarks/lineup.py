"""Which servers there are, how each is started, and what it is asked."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import DEBIAN_PYTHON
from benchmarks.wire.base64_json import base64_json
from benchmarks.wire.classify import CLASSIFY
from benchmarks.wire.echo import ECHO
from benchmarks.wire.open_inference import open_inference
from benchmarks.wire.protocol import Protocol
from benchmarks.wire.raw_http import raw_http
from benchmarks.wire.tutorial import TUTORIAL
from serving.api.grpc_server import LISTENERS
from serving.cpu import worker_count

# The arrangement of our server by default, which the echo takes too: a worker for each processor, listeners shared out.
WORKERS = worker_count(0, "cpu")
BATCH = 64  # the most images that a peer's batcher puts together, as in ours


@dataclass(frozen=True, slots=True)
class Place:
    """What a server is started with: its Python, the graph and repository to serve, a folder of its own."""

    python: Path
    graph: Path
    repository: Path
    folder: Path


Command = Callable[[Place, list[int]], list[str]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be measured. `peer`: the folder below peers/ with its requirements; None: it has our own."""

    name: str
    title: str
    protocol: Protocol
    command: Command
    peer: str | None = None
    python: Path | None = None  # that its environment must be made from
    reads_digits: bool = True
    model: str | None = None  # of our repository, where it does not serve the example network

    def environment(self, place: Place) -> dict[str, str]:
        """Variables beside those of the benchmark itself."""
        return {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "GRAPH_FILE": str(place.graph),
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "",
        }


def _ours(*more: str, module: str = "serving", log_level: str = "warning") -> Command:
    def command(place: Place, ports: list[int]) -> list[str]:
        return [
            *(
                str(place.python),
                "-m",
                module,
                "--model-repository",
                str(place.repository),
                "--log-level",
                log_level,
            ),
            *("--grpc-port", str(ports[0]), "--http-port", str(ports[1]), *more),
        ]

    return command


def _peer(module: str, other_ports: int = 0, *more: str, folder: bool = False) -> Command:
    """`-m benchmarks.peers.MODULE PORT [OTHER_PORTS] GRAPH [FOLDER] [MORE]`."""

    def command(place: Place, ports: list[int]) -> list[str]:
        return [
            *(str(place.python), "-m", f"benchmarks.peers.{module}", *map(str, ports[: 1 + other_ports])),
            *(str(place.graph), *([str(place.folder)] if folder else []), *more),
        ]

    return command


def _echo(place: Place, ports: list[int]) -> list[str]:
    arrangement = ["--workers", str(WORKERS), "--listeners", str(max(2, LISTENERS // WORKERS))]
    return [str(place.python), "-m", "benchmarks.echo_server", str(ports[0]), *arrangement]


def _uvicorn(place: Place, ports: list[int]) -> list[str]:
    return [
        *(str(place.python), "-m", "uvicorn", "--port", str(ports[0]), "--workers", "2", "--no-access-log"),
        *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "benchmarks.peers.fastapi.server:app"),
    ]


def _bentoml(place: Place, ports: list[int]) -> list[str]:
    service = "benchmarks.peers.bentoml.server:Digits"
    executable = str(place.python.with_name("bentoml"))
    return [executable, "serve", service, "--host", "127.0.0.1", "--port", str(ports[0])]


_OPEN_INFERENCE = open_inference()

OURS = (
    Server("ours", "ours", _OPEN_INFERENCE, _ours()),
    Server("ours-classify", "ours, mnist.v1", CLASSIFY, _ours()),
    Server("ours-one", "ours, one worker", _OPEN_INFERENCE, _ours("--workers", "1", "--inference-threads", "1")),
    Server("ours-mnist", "ours, model mnist", _OPEN_INFERENCE, _ours(), model="mnist"),
    Server(
        "ours-int8", "ours, mnist-int8", open_inference("mnist-int8"),
        _ours("--model-name", "mnist-int8"), model="mnist-int8",
    ),
)  # fmt: skip
# What is measured when it is named: what the access log costs beside ours, and metrics beside ours with one worker.
VARIANTS = (
    Server(
        "ours-logged", "ours, with an access log", _OPEN_INFERENCE,
        _ours("--access-log", "--log-format", "json", log_level="info"),
    ),
    Server(
        "ours-one-unmetered", "ours, one worker, metrics count nothing", _OPEN_INFERENCE,
        _ours("--workers", "1", "--inference-threads", "1", module="benchmarks.unmetered_server"),
    ),
)  # fmt: skip
SOAKED = Server("soaked", "ours, one worker", _OPEN_INFERENCE, _ours("--workers", "1"), model="mnist")
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
    Server("fastapi", "FastAPI, 2 workers", raw_http("/read"), _uvicorn, "fastapi"),
    Server("grpcio-tutorial", "grpcio tutorial", TUTORIAL, _peer("grpcio_tutorial.server"), "grpcio_tutorial"),
    Server("litserve", "LitServe, 2 workers", base64_json("/read"), _peer("litserve.server"), "litserve"),
    Server("bentoml", "BentoML, batching", base64_json("/read"), _bentoml, "bentoml"),
    Server("echo", "gRPC echo, no work", ECHO, _echo, reads_digits=False),
)  # fmt: skip
SERVERS = {server.name: server for server in (*OURS, *VARIANTS, *PEERS)}


def our_python() -> Path:
    """The Python that our server runs on: the one that runs the benchmark."""
    return Path(sys.executable)
