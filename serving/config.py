"""Every setting, once: name, default, meaning, limits. Flags and `MNIST_*` variables make one frozen Config."""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from serving.errors import ConfigError
from serving.version_policy import VersionPolicy, parse_policy

ENVIRONMENT_PREFIX = "MNIST_"
DEFAULT_BATCH_SIZE = 64
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP)(_|$)")


def _setting(default: object, help: str, parse: Callable[[str], object]) -> Any:  # as dataclasses.field is typed
    return field(default=default, metadata={"help": help, "parse": parse})


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _number(kind: type[int] | type[float], lowest: float, highest: float = float("inf")) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("expected a whole number" if kind is int else "expected a number") from None
        if not lowest <= value <= highest:
            raise ValueError(
                f"expected {lowest} or more" if highest == float("inf") else f"expected {lowest} to {highest}"
            )
        return value

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return parse


def _plain_name(text: str) -> str:
    if text in ("", ".", "..") or Path(text).name != text:
        raise ValueError("expected the plain name of a folder, such as mnist")
    return text


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text and not (colon and host and port.isdecimal() and int(port) <= 65535):
        raise ValueError("expected HOST:PORT")
    return text


_port = _number(int, 0, 65535)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the server. Sizes in bytes, times in seconds."""

    model_repository: Path = _setting(Path("models"), "folder that holds <model name>/<version>/", Path)
    model_name: str = _setting("mnist", "model to serve: mnist, mnist-int8 or mnist-accurate", _plain_name)
    model_version: VersionPolicy | None = _setting(
        None,
        "versions to serve: latest, latest:N, all, or numbers such as 3 or 2,3; auto or 0: as the model's config.pbtxt"
        " says, the latest where it says nothing",
        parse_policy,
    )
    model_poll_seconds: float = _setting(
        5.0, "how often to look for new versions; 0: only when told, by SIGHUP or RPC", _number(float, 0, 86400)
    )
    model_public_key: Path | None = _setting(
        None, "PEM file: a version is served only if its model.sig was signed with this key's other half", _path
    )
    max_slowdown: float = _setting(
        3.0,
        "a new version that takes more than this times as long as the one served is refused; 0: none is",
        _number(float, 0),
    )
    precision: str = _setting(
        "auto",
        "float32, or int8 where the model has an int8 form; auto: the model's own, or what --tune picks",
        _choice("auto", "float32", "int8"),
    )
    tune: bool = _setting(
        False,
        "before serving, measure the model here and pick what is auto or 0 of the settings of inference",
        _boolean,
    )
    device: str = _setting("auto", "auto, cpu or cuda; auto falls back to cpu", _choice("auto", "cpu", "cuda"))
    workers: int = _setting(
        0, "processes that answer calls; 0: one for each usable processor, or one with a GPU", _number(int, 0, 256)
    )
    worker_memory_growth_bytes: int = _setting(
        256 * 2**20,
        "a worker that holds so much more than when it began, for a minute, is replaced by another; 0: never",
        _number(int, 0),
    )
    inference_threads: int = _setting(
        0,
        "ONNX Runtime threads of each worker; 0: its share of the usable processors, or what --tune picks",
        _number(int, 0, 256),
    )

    inference_timeout_seconds: float = _setting(
        30.0, "a process whose inference takes longer ends itself, to be replaced; 0: never", _number(float, 0, 3600)
    )

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for every interface", str)
    grpc_port: int = _setting(50051, "port of the gRPC service; 0: any free one", _port)
    http_port: int = _setting(
        8080, "port of /v1/classify, /v1/explain, /metrics, /livez and /readyz; 0: any free one", _port
    )
    metrics_address: str = _setting(
        "", "HOST:PORT for /metrics alone, which the HTTP port then has no more; empty: the HTTP port", _address
    )

    max_batch_size: int = _setting(
        0, f"most images in one inference; 0: {DEFAULT_BATCH_SIZE}, or what --tune picks", _number(int, 0, 4096)
    )
    max_queue_delay_seconds: float = _setting(
        0.0, "time a request may wait for others to fill its batch; 0: none is added", _number(float, 0, 1)
    )
    queue_capacity_images: int = _setting(
        4096, "most images held at once, waiting and running; beyond it callers are refused", _number(int, 1)
    )

    max_images_per_request: int = _setting(1024, "most images in one call", _number(int, 1, 2**20))
    max_request_bytes: int = _setting(16 * 2**20, "longest message accepted", _number(int, 1024, 2**31 - 1))
    max_image_bytes: int = _setting(8 * 2**20, "longest encoded image", _number(int, 1, 2**31 - 1))
    max_image_pixels: int = _setting(
        25_000_000, "largest width x height of an encoded image", _number(int, 1, 2**31 - 1)
    )
    decode_threads: int = _setting(2, "encoded images decoded at the same time", _number(int, 1, 64))
    max_connection_age_seconds: float = _setting(
        300.0, "after this a client is asked to connect anew, so that load spreads; 0: never", _number(float, 0, 86400)
    )

    tls_certificate: Path | None = _setting(
        None, "PEM file of the server's certificate chain: gRPC by TLS alone", _path
    )
    tls_key: Path | None = _setting(None, "PEM file of its private key", _path)
    tls_client_ca: Path | None = _setting(
        None, "PEM file of authorities: only clients with a certificate by one of them are let in", _path
    )
    insecure: bool = _setting(
        False, "plain text on an address that others reach (a host that is not loopback)", _boolean
    )
    api_keys: Path | None = _setting(
        None,
        "file of the API keys that may ask (python -m serving keys makes one); none: everybody may",
        _path,
    )
    admin: bool = _setting(True, "answer the RPCs that change what is served; needs a key of scope admin", _boolean)
    reflection: bool = _setting(True, "answer gRPC server reflection (grpcurl needs it)", _boolean)
    drain_grace_seconds: float = _setting(10.0, "time for work in flight to end at shutdown", _number(float, 0, 600))
    log_format: str = _setting("console", "console for people, json for machines", _choice("console", "json"))
    log_level: str = _setting("info", "debug, info, warning or error", _choice("debug", "info", "warning", "error"))
    access_log: bool = _setting(False, "one line for each call", _boolean)
    show_samples: Path | None = _setting(None, "classify the images of this folder once when ready", _path)

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of the HTTP side."""
        return self.host, self.http_port

    @property
    def metrics_at(self) -> tuple[str, int] | None:
        """Host and port of /metrics where it is apart."""
        host, _, port = self.metrics_address.rpartition(":")
        return (host.strip("[]"), int(port)) if self.metrics_address else None

    def __post_init__(self) -> None:
        """Checks what no single setting can know."""
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
        if not (self.tls_certificate or self.insecure or is_loopback(self.host)):
            raise ConfigError(
                f"--host {self.host}: others can reach it, and what they send would be readable on the way: set "
                "--tls-certificate and --tls-key, or say --insecure where the network itself is trusted"
            )


def load_config(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Config:
    """The configuration: defaults, then `MNIST_*` variables, then flags.

    Raises ConfigError, naming the setting, for a value that cannot be used and for an unknown `MNIST_*` variable.
    Exits, as argparse does, for an unknown flag and for --help.
    """
    texts = _from_environment(os.environ if environment is None else environment)
    texts |= _from_flags(arguments)
    values = {}
    for setting in fields(Config):
        if setting.name in texts:
            where, text = texts[setting.name]
            try:
                values[setting.name] = setting.metadata["parse"](text)
            except ValueError as error:
                raise ConfigError(f"{where}: {error}, got {text!r}") from None
    return Config(**values)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def flag(setting: Field[Any]) -> str:
    """The command line's name of a setting."""
    return "--" + setting.name.replace("_", "-")


def variable(setting: Field[Any]) -> str:
    """The environment's name of a setting."""
    return ENVIRONMENT_PREFIX + setting.name.upper()


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = {variable(setting): setting.name for setting in fields(Config)}
    found = {}
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and not _is_service_link(name, text):
            if name not in known:
                raise ConfigError(f"{name}: there is no such setting; `python -m serving --help` lists them")
            found[known[name]] = (name, text)
    return found


def _is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes made this variable: it sets a family of them beside every Service, one named mnist too."""
    return bool(_SERVICE_LINK.search(name)) or (name.endswith("_PORT") and "://" in text)


def _from_flags(arguments: Sequence[str]) -> dict[str, tuple[str, str]]:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serves the digit model over gRPC. Each flag has an environment variable of the same name.",
        allow_abbrev=False,
    )
    for setting in fields(Config):
        help_text = f"{setting.metadata['help']} (default: {setting.default}; {variable(setting)})"
        if setting.metadata["parse"] is _boolean:
            parser.add_argument(flag(setting), nargs="?", const="true", metavar="true|false", help=help_text)
        else:
            parser.add_argument(flag(setting), metavar="VALUE", help=help_text)
    given = vars(parser.parse_args(arguments))
    return {name: ("--" + name.replace("_", "-"), text) for name, text in given.items() if text is not None}
