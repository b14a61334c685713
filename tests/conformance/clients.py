"""The clients that are tried: where each comes from, its program, and what of it cannot work and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GRPC, HTTP = "gRPC", "HTTP"
BOTH = f"{GRPC}, {HTTP}"
NO_SHARED_MEMORY = "the server has no shared memory"


@dataclass(frozen=True, slots=True)
class Client:
    """A program of programs/, with the packages it needs.

    `program`: without its ending; one of JavaScript gets its packages from npm, the others from PyPI, and numpy.
    `package`: the one whose version is shown, the first of `packages` or one of Debian's.
    `tool`: a program that it starts with Debian's libraries: a pattern below its environment, or one of Debian's.
    `through`: the proxy between it and the server. `is_on_http_port`: calls gRPC's methods on the HTTP port.
    `limits`: calls that must fail, and why.
    """

    name: str
    transport: str
    program: str
    packages: tuple[str, ...]
    package: str
    tool: str = ""
    through: str = ""
    is_on_http_port: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_javascript(self) -> bool:
        """Runs by node."""
        return self.program.endswith(".cjs")


_TRITON = ("tritonclient[grpc,http]",)
_GRPCIO = ("grpcio", "grpcio-health-checking", "grpcio-reflection", "protobuf")
_OPEN_INFERENCE = ("open-inference-grpc", "protobuf")  # whose second it needs and does not say so
_OURS = ("--editable", "./client")
_PERF = "lib/*/site-packages/perf_analyzer/bin/perf_analyzer"
_CONNECT = ("@connectrpc/connect", "@bufbuild/protobuf")


def _proxied(proxy: str) -> tuple[Client, ...]:
    """Clients of both ports through a proxy."""
    return (
        Client(f"mnist_digits through {proxy}", GRPC, "mnist_digits_grpc", _OURS, "mnist-digits-client", through=proxy),
        Client(f"grpcio through {proxy}", GRPC, "grpcio_stubs", _GRPCIO, "grpcio", through=proxy),
        Client(f"tritonclient through {proxy}", GRPC, "triton_grpc", _TRITON, "tritonclient", through=proxy),
        Client(f"tritonclient through {proxy}", HTTP, "triton_http", _TRITON, "tritonclient", through=proxy),
        Client(f"requests through {proxy}", HTTP, "requests_http", ("requests",), "requests", through=proxy),
    )


CLIENTS = (
    Client("mnist_digits (ours)", GRPC, "mnist_digits_grpc", _OURS, "mnist-digits-client"),
    Client("grpcio, generated stubs", GRPC, "grpcio_stubs", _GRPCIO, "grpcio"),
    Client("tritonclient", GRPC, "triton_grpc", _TRITON, "tritonclient"),
    Client("tritonclient", HTTP, "triton_http", _TRITON, "tritonclient"),
    Client("kserve", BOTH, "kserve_clients", ("kserve",), "kserve"),
    Client("mlserver", HTTP, "mlserver_infer", ("mlserver", "requests"), "mlserver"),
    Client(
        "open-inference-openapi", HTTP, "open_inference_http", ("open-inference-openapi",), "open-inference-openapi"
    ),
    Client("open-inference-grpc", GRPC, "open_inference_grpc", _OPEN_INFERENCE, "open-inference-grpc"),
    Client(
        "perf_analyzer",
        BOTH,
        "perf_analyzer",
        ("perf-analyzer",),
        "perf-analyzer",
        tool=_PERF,
        limits=dict.fromkeys(("grpc, shared memory", "http, shared memory"), NO_SHARED_MEMORY),
    ),
    Client("requests", HTTP, "requests_http", ("requests",), "requests"),
    Client("httpx", HTTP, "httpx_http", ("httpx",), "httpx"),
    Client("aiohttp", HTTP, "aiohttp_http", ("aiohttp",), "aiohttp"),
    Client("curl", HTTP, "curl", (), "curl", tool="usr/bin/curl"),
    Client("@grpc/grpc-js", GRPC, "grpc_js.cjs", ("@grpc/grpc-js", "@grpc/proto-loader"), "@grpc/grpc-js"),
    Client(
        "@connectrpc/connect-node",
        GRPC,
        "connect_node.cjs",
        ("@connectrpc/connect-node", *_CONNECT),
        "@connectrpc/connect-node",
    ),
    Client(
        "@connectrpc/connect-web",
        "gRPC-Web, Connect",
        "connect_web_http.cjs",
        ("@connectrpc/connect-web", *_CONNECT),
        "@connectrpc/connect-web",
        is_on_http_port=True,
    ),
    Client(
        "grpc-web",
        "gRPC-Web",
        "grpc_web.cjs",
        ("grpc-web", "protobufjs", "xhr2"),
        "grpc-web",
        is_on_http_port=True,
    ),
    Client("openapi-python-client", HTTP, "openapi_python", ("openapi-python-client",), "openapi-python-client"),
    Client(
        "openapi-typescript",
        HTTP,
        "openapi_typescript.cjs",
        ("openapi-typescript", "openapi-fetch", "typescript@5", "@types/node"),
        "openapi-typescript",
    ),
    *_proxied("nginx"),
    *_proxied("HAProxy"),
    *_proxied("Envoy"),
    Client(
        "@connectrpc/connect-web through Envoy",
        "gRPC-Web",
        "connect_web.cjs",
        ("@connectrpc/connect-web", *_CONNECT),
        "@connectrpc/connect-web",
        through="Envoy",
    ),
    Client(
        "grpc-web through Envoy",
        "gRPC-Web",
        "grpc_web.cjs",
        ("grpc-web", "protobufjs", "xhr2"),
        "grpc-web",
        through="Envoy",
    ),
)
