import re
from dataclasses import Field, fields
from pathlib import Path

import click
import pytest

from serving.config import Config, flag, variable
from serving.options import load_config


def load(monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str]) -> Config:
    with monkeypatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(name, text)
        return load_config(arguments)


def test_without_anything_the_defaults_hold() -> None:
    assert load_config([]) == Config()


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"MNIST_GRPC_PORT": "1", "MNIST_HTTP_PORT": "2"}
    config = load(monkeypatch, ["--grpc-port", "3"], environment)
    assert (config.grpc_port, config.http_port) == (3, 2)


def test_every_setting_can_be_given_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {bool: "false", int: "7", float: "0.25", type(Path()): "elsewhere", type(None): "elsewhere"}
    special = {
        "device": "cpu",
        "grpc_engine": "aio",
        "precision": "int8",
        "log_format": "json",
        "log_level": "debug",
        "host": "::",
        "model_name": "digits",
        "model_version": "2,3",
        "metrics_address": "127.0.0.1:9100",
        "cors_origin": "https://page.example",
        "promote": "manual",
        "shadow": "4:10%",
        "canary": "4:5%",
        "canary_bounds": "failures=2%,refusals=10%,slowdown=1.5,calls=50",
        "store_keep": "refused,unsure",
        "store_max_bytes": "20000000",
        "published_host": "127.0.0.2",
        "http_hosts": "digits.example,other",
        "build_revision": "1f2e3d",
        "insecure": "true",
    }
    needed = {
        "host": ["--insecure"],
        "tls_certificate": ["--tls-key", "key.pem"],
        "tls_key": ["--tls-certificate", "certificate.pem"],
        "tls_client_ca": ["--tls-certificate", "certificate.pem", "--tls-key", "key.pem"],
    }
    large = ("queue_capacity_images", "max_request_bytes")
    for setting in fields(Config):
        text = special.get(setting.name) or ("9999" if setting.name in large else texts[type(setting.default)])
        others = needed.get(setting.name, [])
        by_flag = load_config([flag(setting), text, *others])
        assert by_flag == load(monkeypatch, others, {variable(setting): text})
        assert str(getattr(by_flag, setting.name)).lower() == text


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--grpc-port", "70000"], {}, "'--grpc-port'.*: expected 0 to 65535, got '70000'"),
        (["--model-name", "../mnist"], {}, "'--model-name'.*: expected the plain name of a folder"),
        (
            ["--model-version", "newest"],
            {},
            "'--model-version'.*: expected auto, latest, latest:N, all, or version numbers",
        ),
        (["--metrics-address", "9090"], {}, "'--metrics-address'.*: expected HOST:PORT, got '9090'"),
        (["--metrics-address", "http://a:9090"], {}, "'--metrics-address'.*: expected HOST:PORT"),
        (["--metrics-address", "unix:/run/metrics:1"], {}, "'--metrics-address'.*: expected HOST:PORT"),
        (["--host", "0.0.0.0"], {}, "--host 0.0.0.0: others can reach it"),
        (
            ["--host", "0.0.0.0", "--published-host", "192.0.2.1"],
            {},
            "--published-host 192.0.2.1: others can reach it",
        ),
        (["--published-host", "0.0.0.0"], {}, "--published-host 0.0.0.0: others can reach it"),
        (["--published-host", "unix:/run/digits"], {}, "'--published-host'.*: expected an address"),
        (["--tls-key", "key.pem"], {}, "tls_certificate and tls_key belong together"),
        (["--tls-client-ca", "ca.pem"], {}, "tls_client_ca needs tls_certificate"),
        (["--max-batch-size", "many"], {}, "'--max-batch-size'.*: expected a whole number, got 'many'"),
        ([], {"MNIST_DEVICE": "tpu"}, "MNIST_DEVICE.*: expected one of auto, cpu, cuda, got 'tpu'"),
        ([], {"MNIST_ACCESS_LOG": "maybe"}, "MNIST_ACCESS_LOG.*: expected true or false"),
        ([], {"MNIST_GRCP_PORT": "1"}, "MNIST_GRCP_PORT: there is no such setting"),
        (["--queue-capacity-images", "10"], {}, "queue_capacity_images .* at least max_images_per_request"),
        (["--max-queue-delay-seconds", "nan"], {}, "'--max-queue-delay-seconds'.*: expected 0 to 1"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    arguments: list[str], environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(click.UsageError) as refused:
        load(monkeypatch, arguments, environment)
    assert re.search(message, refused.value.format_message())
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_plain_text_is_allowed_where_ports_are_published_on_this_machine_alone(host: str) -> None:
    assert load_config(["--host", "0.0.0.0", "--published-host", host]).insecure is False


@pytest.mark.parametrize(
    ("text", "host", "http_host"),
    [
        ("[::1]", "::1", "::1"),
        ("localhost", "localhost", "localhost"),
        ("unix:/run/digits", "unix:/run/digits", "unix:/run/digits.http"),
        ("unix:///run/digits", "unix:/run/digits", "unix:/run/digits.http"),
        ("unix:digits", "unix:digits", "unix:digits.http"),
    ],
)
def test_host_is_an_address_a_name_or_the_path_of_a_socket(text: str, host: str, http_host: str) -> None:
    config = load_config(["--host", text])  # reached from this machine alone: no TLS
    assert (config.host, config.http_address[0]) == (host, http_host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unix:",
        "unix://",
        "http://127.0.0.1",
        "127.0.0.1:50051",
        "[::1]:50051",
        "[::1",
        "/run/digits",
        "a b",
        "::g",
    ],
)
def test_what_is_no_host_is_refused_as_that(text: str) -> None:
    with pytest.raises(click.UsageError, match=r"expected (an address such as|a path after)"):
        load_config(["--host", text])


def test_host_that_cannot_be_found_is_refused_as_that_and_not_for_plain_text() -> None:
    for host in ("no.such.host.invalid", "256.1.1.1"):
        with pytest.raises(click.UsageError, match=rf"host {host}: .*; another: --host"):
            load_config(["--host", host])


def test_unix_socket_is_served_by_one_worker() -> None:
    assert load_config(["--host", "unix:/run/digits", "--workers", "1"]).workers == 1
    with pytest.raises(click.UsageError, match=r"workers \(2\): processes cannot share a Unix socket"):
        load_config(["--host", "unix:/run/digits", "--workers", "2"])


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_an_empty_variable_means_the_default(setting: Field[object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, [], {variable(setting): ""}) == Config()


def test_empty_variables_of_every_name_mean_the_defaults_together(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [variable(setting) for setting in fields(Config)]
    assert load(monkeypatch, [], dict.fromkeys([*names, "MNIST_OF_ANOTHER_RELEASE"], "")) == Config()


def test_variables_that_kubernetes_sets_for_a_service_named_mnist_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    links = {
        "MNIST_SERVICE_HOST": "10.0.0.1",
        "MNIST_SERVICE_PORT_GRPC": "50051",
        "MNIST_PORT": "tcp://10.0.0.1:50051",
        "MNIST_PORT_50051_TCP_ADDR": "10.0.0.1",
        "MNIST_GRPC_PORT": "tcp://10.0.0.2:50051",
        "MNIST_GRPC_SERVICE_HOST": "10.0.0.2",
    }
    assert load(monkeypatch, [], links) == Config()


@pytest.mark.parametrize("name", ["MNIST_TRAIN_EPOCHS", "MNIST_CLIENT_ADDRESS", "PATH_OF_SOMETHING"])
def test_variables_of_other_programs_are_ignored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, [], {name: "1"}) == Config()
