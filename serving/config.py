"""Settings of the server: name, default, meaning and limits, in one frozen Config. `options` makes flags of them."""

from collections.abc import Callable
from dataclasses import Field, dataclass, field
from pathlib import Path
from socket import getaddrinfo
from typing import Any

from serving.errors import ConfigError
from serving.setting_values import (
    choice,
    is_loopback,
    is_unix,
    number,
    parse_address,
    parse_boolean,
    parse_host,
    parse_host_names,
    parse_label,
    parse_origins,
    parse_path,
    parse_plain_name,
    parse_port,
    parse_published_host,
    words,
)
from serving.version_policy import (
    CanaryBounds,
    Candidate,
    VersionPolicy,
    parse_bounds,
    parse_candidate,
    parse_policy,
)

ENVIRONMENT_PREFIX = "MNIST_"
HTTP_SUFFIX = ".http"  # of the path of HTTP's own socket
DEFAULT_BATCH_SIZE = 64


def _setting(default: object, help: str, parse: Callable[[str], object]) -> Any:  # Any, as dataclasses.field is typed
    return field(default=default, metadata={"help": help, "parse": parse})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the server. Sizes in bytes, times in seconds."""

    model_repository: Path = _setting(Path("models"), "folder that holds <model name>/<version>/", Path)
    model_name: str = _setting(
        "mnist", "model to serve: mnist, mnist-accurate, mnist-cascade, or with -int8 a form of it", parse_plain_name
    )
    model_folder: Path | None = _setting(
        None,
        "folder that holds <version>/ of the one model, served as --model-name; in place of --model-repository",
        parse_path,
    )
    model_version: VersionPolicy | None = _setting(
        None,
        "versions to serve: latest, latest:N, all, or numbers such as 3 or 2,3; auto or 0: the policy of the model's"
        " config.pbtxt, or the latest",
        parse_policy,
    )
    model_poll_seconds: float = _setting(
        5.0, "how often to look for new versions; 0: only on SIGHUP or RPC", number(float, 0, 86400)
    )
    model_public_key: Path | None = _setting(
        None, "PEM file of a public key: a version is served only if its model.sig verifies with it", parse_path
    )
    max_slowdown: float = _setting(
        3.0,
        "refuse a new version that takes more than this times as long as the served one; 0: never",
        number(float, 0),
    )
    max_quality_drop: float = _setting(
        0.0,
        "refuse a new version whose recorded accuracy or refusals are worse than the served one's by more than this"
        " share and chance; 1: never",
        number(float, 0, 1),
    )
    promote: str = _setting(
        "auto",
        "auto, or manual: new versions wait until `versions pin` names one; until then the oldest is served",
        choice("auto", "manual"),
    )
    shipped_models: Path | None = _setting(
        None,
        "folder of models that came with the image; versions of the model there that the served folder lacks are"
        " reported at the start",
        parse_path,
    )
    shadow: Candidate | None = _setting(
        None,
        "VERSION:SHARE, such as 4:10%: a version that runs on this share of the requests when the machine is idle,"
        " and answers nobody; it is not served unless a policy names it",
        parse_candidate,
    )
    canary: Candidate | None = _setting(
        None,
        "VERSION:SHARE, such as 4:5%: a version that answers this share of the callers, until it is worse than the"
        " served one by --canary-bounds; it is not served to others unless a policy names it",
        parse_candidate,
    )
    canary_bounds: CanaryBounds = _setting(
        CanaryBounds(),
        "what returns a canary: so much more of failed inferences, of refused images, so many times as long, after so"
        " many inferences",
        parse_bounds,
    )
    precision: str = _setting(
        "auto",
        "float32, or int8 where the model has an int8 form; auto: the model's own, or what --tune picks",
        choice("auto", "float32", "int8"),
    )
    tune: bool = _setting(
        False,
        "before serving, measure the model on this host and pick the inference settings that are auto or 0",
        parse_boolean,
    )
    device: str = _setting(
        "auto",
        "auto, cpu or cuda; auto takes cuda where it is there and faster, and cpu for int8",
        choice("auto", "cpu", "cuda"),
    )
    workers: int = _setting(
        0, "worker processes; 0: one for each usable processor, or one with a GPU", number(int, 0, 256)
    )
    worker_memory_growth_bytes: int = _setting(
        256 * 2**20,
        "replace a worker whose memory has stayed this much above its start for a minute; 0: never",
        number(int, 0),
    )
    inference_threads: int = _setting(
        0,
        "ONNX Runtime threads of each worker; 0: its share of the usable processors, or what --tune picks",
        number(int, 0, 256),
    )

    inference_timeout_seconds: float = _setting(
        30.0,
        "end a process whose inference takes longer, so that another replaces it; 0: never",
        number(float, 0, 3600),
    )

    grpc_engine: str = _setting(
        "auto",
        "completion-queue, or aio for grpc.aio; auto: completion-queue with a grpcio that it was tested with",
        choice("auto", "completion-queue", "aio"),
    )
    host: str = _setting(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 for every interface; unix:PATH for a Unix socket, and PATH.http for HTTP",
        parse_host,
    )
    published_host: str = _setting(
        "", "address on which the ports of a container are published, if not host; empty: host", parse_published_host
    )
    grpc_port: int = _setting(50051, "port of the gRPC service; 0: any free one", parse_port)
    http_port: int = _setting(
        8080, "port of /v1/classify, /v1/read, /v1/explain, /metrics, /livez and /readyz; 0: any free one", parse_port
    )
    cors_origin: str = _setting(
        "", "origins whose pages may call the HTTP port from a browser, by commas, or *; empty: none", parse_origins
    )
    http_hosts: str = _setting(
        "",
        "names besides localhost that a server on a loopback address answers to by HTTP, by commas, or *",
        parse_host_names,
    )
    metrics_address: str = _setting(
        "", "HOST:PORT that serves /metrics in place of the HTTP port; empty: the HTTP port", parse_address
    )

    max_batch_size: int = _setting(
        0, f"most images in one inference; 0: {DEFAULT_BATCH_SIZE}, or what --tune picks", number(int, 0, 4096)
    )
    max_queue_delay_seconds: float = _setting(
        0.0, "time that a request may wait for others to fill its batch; 0: no added delay", number(float, 0, 1)
    )
    queue_capacity_images: int = _setting(
        4096, "most images held at once, waiting and running; more are refused", number(int, 1)
    )

    max_images_per_request: int = _setting(1024, "most images in one call", number(int, 1, 2**20))
    max_request_bytes: int = _setting(16 * 2**20, "longest message accepted", number(int, 1024, 2**31 - 1))
    max_image_bytes: int = _setting(8 * 2**20, "longest encoded image", number(int, 1, 2**31 - 1))
    max_image_pixels: int = _setting(
        36_000_000,
        "largest width x height of an encoded image in colour; four times as much in grey",
        number(int, 1, 2**31 - 1),
    )
    decode_threads: int = _setting(2, "encoded images decoded at the same time", number(int, 1, 64))
    max_connection_age_seconds: float = _setting(
        300.0, "have clients reconnect after this time, so that load spreads; 0: never", number(float, 0, 86400)
    )

    tls_certificate: Path | None = _setting(
        None, "PEM file of the server's certificate chain; gRPC then needs TLS", parse_path
    )
    tls_key: Path | None = _setting(None, "PEM file of its private key", parse_path)
    tls_client_ca: Path | None = _setting(
        None, "PEM file of authorities; clients then need a certificate by one of them", parse_path
    )
    insecure: bool = _setting(False, "allow plain text on an address that is not loopback", parse_boolean)
    api_keys: Path | None = _setting(
        None,
        "file of the accepted API keys (python -m serving keys); none: no key is needed",
        parse_path,
    )
    admin: bool = _setting(True, "serve the RPCs that change what is served, to API keys of scope admin", parse_boolean)
    reflection: bool = _setting(True, "answer gRPC server reflection (grpcurl needs it)", parse_boolean)
    drain_grace_seconds: float = _setting(10.0, "time for work in flight to end at shutdown", number(float, 0, 600))
    log_format: str = _setting("console", "console for people, json for machines", choice("console", "json"))
    log_level: str = _setting("info", "debug, info, warning or error", choice("debug", "info", "warning", "error"))
    drift_time_share: float = _setting(
        0.003,
        "most of the answering thread's time that observing answers for drift may take; 0: do not observe",
        number(float, 0, 1),
    )
    access_log: bool = _setting(False, "log one line for each call", parse_boolean)
    traces: bool = _setting(
        False, "send traces of requests by OTLP, as OpenTelemetry's variables OTEL_* say", parse_boolean
    )
    store: Path | None = _setting(
        None,
        "SQLite file that keeps pictures for feedback; none: no picture is kept, and no feedback taken",
        parse_path,
    )
    store_keep: str = _setting(
        "feedback",
        "pictures to keep, by commas: feedback (those that it is given on), refused, unsure",
        words("feedback", "refused", "unsure"),
    )
    store_unsure_below: float = _setting(0.9, "probability below which an answer counts as unsure", number(float, 0, 1))
    store_max_bytes: int = _setting(
        256 * 2**20, "most bytes of the store; beyond it the oldest pictures go", number(int, 16 * 2**20)
    )
    store_max_age_seconds: float = _setting(
        30 * 86400.0, "age at which a picture is erased; 0: never", number(float, 0)
    )
    store_recent_images: int = _setting(
        16384, "images held in memory for feedback, 0.8 KiB each, of all workers", number(int, 1, 2**24)
    )
    build_revision: str = _setting(
        "",
        "revision of the source that this build is of, for mnist_build_info; empty: git's, in a checkout",
        parse_label,
    )
    show_samples: Path | None = _setting(None, "classify the pictures of this folder once when ready", parse_path)

    @property
    def stored(self) -> tuple[str, ...]:
        """Which pictures the store keeps; none without a store."""
        return tuple(self.store_keep.split(",")) if self.store else ()

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of the HTTP server."""
        return self.host + (HTTP_SUFFIX if is_unix(self.host) else ""), self.http_port

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Origins whose pages may call the HTTP port from a browser."""
        return tuple(self.cors_origin.split(",")) if self.cors_origin else ()

    @property
    def http_names(self) -> tuple[str, ...]:
        """Names that a server on a loopback address answers to by HTTP, besides those of loopback."""
        return tuple(self.http_hosts.split(",")) if self.http_hosts else ()

    @property
    def metrics_at(self) -> tuple[str, int] | None:
        """Host and port of /metrics, where it has an address of its own."""
        host, _, port = self.metrics_address.rpartition(":")
        return (host.strip("[]"), int(port)) if self.metrics_address else None

    def __post_init__(self) -> None:
        """Checks settings that depend on each other. Raises ConfigError."""
        if self.queue_capacity_images < self.max_images_per_request:
            raise ConfigError(
                f"queue_capacity_images ({self.queue_capacity_images}) must be at least max_images_per_request "
                f"({self.max_images_per_request}), or the largest allowed call could never be admitted"
            )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("tls_certificate and tls_key belong together: one of them is not set")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError(
                "tls_client_ca needs tls_certificate and tls_key: without TLS no client shows a certificate"
            )
        if is_unix(self.host) and self.workers > 1:
            raise ConfigError(
                f"workers ({self.workers}): processes cannot share a Unix socket, so one worker serves "
                f"--host {self.host}: leave out --workers, or listen on an address"
            )
        reached_at = self.published_host or self.host
        if not (self.tls_certificate or self.insecure or is_loopback(reached_at)):
            try:
                getaddrinfo(self.host, None)
            except (OSError, UnicodeError) as error:  # nobody can reach what is no host
                raise ConfigError(f"host {self.host}: {error}; another: --host") from error
            setting = "--published-host" if self.published_host else "--host"
            raise ConfigError(
                f"{setting} {reached_at}: others can reach it, and what they send would be readable on the way: set "
                "--tls-certificate and --tls-key, or say --insecure where the network itself is trusted"
            )


def flag(setting: Field[Any]) -> str:
    """Returns the flag of a setting: `--grpc-port`."""
    return "--" + setting.name.replace("_", "-")


def variable(setting: Field[Any]) -> str:
    """Returns the environment variable of a setting: `MNIST_GRPC_PORT`."""
    return ENVIRONMENT_PREFIX + setting.name.upper()
