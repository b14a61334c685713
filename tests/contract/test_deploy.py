"""Claims of deploy/ about the server hold: metrics, settings, pinned images, documented alerts and variables."""

import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Metric

from serving.api.digits import service as digits
from serving.api.open_inference import service as open_inference
from serving.config import Config, variable
from serving.drift.reference import FEATURES
from serving.drift.windows import GAUGES, OBSERVATIONS
from serving.errors import ConfigError
from serving.metrics.metrics import Metrics
from serving.metrics.supervisor_metrics import SupervisorMetrics
from tests.support.deployment import (
    COMPOSE,
    DASHBOARDS,
    DOCKERFILES,
    default_images,
    from_yaml,
    metrics_in,
    panel_queries,
    texts,
)
from tests.support.exposed import shadow_families
from tests.support.processes import ROOT, completed

RULES: list[dict[str, Any]] = [
    rule for group in from_yaml("deploy/prometheus/alerts.yml")["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
GUIDE = (ROOT / "docs/containers.md").read_text()

SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
OF_PROMETHEUS = {"up"}


def families() -> list[Metric]:
    """Metrics of a worker, of its supervisor, and of a shadow process."""
    return [
        *Metrics(CollectorRegistry()).registry.collect(),
        *SupervisorMetrics().registry.collect(),
        *shadow_families(),
    ]


def exposed_metrics() -> set[str]:
    drift = {f"{OBSERVATIONS}_total", *(name for name, *_ in GAUGES)}
    return drift | {family.name + ending for family in families() for ending in SAMPLES[family.type]}


def rule_expressions() -> list[str]:
    assert RULES
    return [rule["expr"] for rule in RULES]


def recorded_names() -> set[str]:
    return {rule["record"] for rule in RULES if "record" in rule}


def variables_of_compose() -> list[tuple[str, str]]:
    """Names and defaults of the variables that the compose file reads; each has a default."""
    found = [pair for text in texts(COMPOSE) for pair in re.findall(r"\$\{(\w+):-([^}]*)\}", text)]
    assert len(found) == sum(text.count("$") for text in texts(COMPOSE))
    return found


def test_metrics_are_found_in_an_expression_whatever_surrounds_them() -> None:
    expression = 'sum by (le, job) (rate(a_bucket{x="b_total"}[5m])) / ignoring(c) group_left d:e > 0.5 and f == 0'
    assert metrics_in(expression) == {"a_bucket", "d:e", "f"}


def test_every_rule_queries_metrics_that_exist() -> None:
    known = exposed_metrics() | recorded_names() | OF_PROMETHEUS
    unknown = {name for expression in rule_expressions() for name in metrics_in(expression)} - known
    assert not unknown


def test_every_panel_queries_metrics_that_exist() -> None:
    known = exposed_metrics() | recorded_names() | OF_PROMETHEUS
    expressions = [target["expr"] for _, target in panel_queries()]
    expressions += [annotation["expr"] for board in DASHBOARDS for annotation in board["annotations"]["list"]]
    unknown = {name for expression in expressions for name in metrics_in(expression)} - known
    assert not unknown


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = {name for _, target in panel_queries() for name in metrics_in(target["expr"])}
    ours = {family.name for family in families()}
    ours = {name for name in ours if name.startswith(("mnist_", "grpc_"))}
    ours |= {OBSERVATIONS, *(name for name, *_ in GAUGES)}
    assert {name for name in ours if not any(metric.startswith(name) for metric in shown)} == set()


def test_every_feature_of_drift_has_a_panel_of_its_shares() -> None:
    expressions = [target["expr"] for _, target in panel_queries()]
    for metric in ("mnist_drift_share", "mnist_drift_reference_share"):
        about = "".join(each for each in expressions if metric in metrics_in(each))
        assert set(re.findall(r'feature="(\w+)"', about)) == set(FEATURES)


def test_alerts_of_drift_name_the_feature_that_has_moved() -> None:
    alerts = [alert for alert in ALERTS if "mnist_drift_psi" in metrics_in(alert["expr"])]
    assert len(alerts) == 2
    for alert in alerts:
        assert 'feature="' not in alert["expr"]
        assert "{{ $labels.feature }}" in alert["annotations"]["description"]


def test_every_panel_uses_the_provisioned_data_source() -> None:
    provisioned = from_yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    uids = {target["datasource"]["uid"] for _, target in panel_queries()}
    assert uids == {source["uid"] for source in provisioned}


def test_panels_do_not_share_ids_or_queries_their_letters() -> None:
    for board in DASHBOARDS:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
    assert len({board["uid"] for board in DASHBOARDS}) == len(DASHBOARDS)
    letters = [(panel, target["refId"]) for panel, target in panel_queries()]
    assert len(letters) == len(set(letters))


def test_prometheus_finds_every_replica_of_the_server() -> None:
    [scraped] = from_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    [found] = scraped["dns_sd_configs"]
    assert set(found["names"]) <= set(COMPOSE["services"])
    assert f":{found['port']}" in "".join(COMPOSE["services"][found["names"][0]]["ports"])
    assert (found["type"], "static_configs" in scraped) == ("A", False)


def test_number_of_replicas_stays_when_a_later_command_does_not_repeat_it() -> None:
    assert COMPOSE["services"]["serving"]["scale"] == "${DIGITS_REPLICAS:-1}"
    commands = [line for line in GUIDE.splitlines() if line.startswith("    ")]
    assert not [line for line in commands if "--scale" in line]


def test_prometheus_goes_on_while_the_server_is_made_anew() -> None:
    needed = [name for service in COMPOSE["services"].values() for name in service.get("depends_on", [])]
    assert "serving" not in needed  # Compose makes anew what depends on a container that it makes anew


def test_prometheus_sends_alerts_to_the_alertmanager_of_the_profile() -> None:
    [manager] = from_yaml("deploy/prometheus/prometheus.yml")["alerting"]["alertmanagers"]
    [found] = manager["dns_sd_configs"]  # a name without an address is no error, as a fixed target would be
    [name] = found["names"]
    service = COMPOSE["services"][name]
    assert (found["type"], service["profiles"]) == ("A", ["alerts"])
    assert [port.rpartition(":")[2] for port in service["ports"]] == [str(found["port"])]


def test_the_last_values_that_alerts_look_at_are_older_than_two_scrapes_and_gone_before_they_fire() -> None:
    [monitored] = from_yaml("deploy/kubernetes/components/monitoring/service-monitor.yaml")["spec"]["endpoints"]
    scrapes = (from_yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"], monitored["interval"])
    windows = [
        (int(window), {"m": 60}[alert["for"][-1]] * int(alert["for"][:-1]))
        for alert in ALERTS
        for window in re.findall(r"last_over_time\([^\[]*\[(\d+)s\]\)", alert["expr"])
    ]
    assert len(windows) >= 4
    assert all(2 * int(scrape.removesuffix("s")) < window < due for window, due in windows for scrape in scrapes)


def with_examples(configuration: str) -> str:
    """The configuration of Alertmanager with its receivers filled as its comments show."""
    return re.sub(r"^    # (.*)$", r"    \1", configuration, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("amtool") is None, reason="no amtool (Debian package prometheus-alertmanager)")
def test_amtool_accepts_the_receivers_and_routes_alerts_by_severity(tmp_path: Path) -> None:
    empty = ROOT / "deploy/alertmanager/alertmanager.yml"
    filled = tmp_path / "alertmanager.yml"
    filled.write_text(with_examples(empty.read_text()))
    assert all(len(receiver) > 1 for receiver in yaml.safe_load(filled.read_text())["receivers"])
    done = completed(["amtool", "check-config", empty, filled])
    assert done.returncode == 0, done.stdout + done.stderr
    for severity in {alert["labels"]["severity"] for alert in ALERTS}:
        done = completed(["amtool", "config", "routes", "test", f"--config.file={filled}", f"severity={severity}"])
        assert done.stdout.split() == [severity]


def test_rules_and_panels_query_the_job_that_is_scraped() -> None:
    scraped = {job["job_name"] for job in from_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]}
    expressions = [*rule_expressions(), *(target["expr"] for _, target in panel_queries())]
    assert {job for expression in expressions for job in re.findall(r'job="([^"]*)"', expression)} == scraped


def test_where_rules_and_panels_choose_a_service_they_choose_both_contracts() -> None:
    text = "".join(rule_expressions()) + "".join(target["expr"] for _, target in panel_queries())
    chosen = re.findall(r'grpc_service(=~?)"([^"]*)"', text)
    assert chosen
    for operator, pattern in chosen:
        assert operator == "=~"
        assert all(re.fullmatch(pattern, service) for service in (digits.SERVICE, open_inference.SERVICE))


@pytest.mark.parametrize("name", ["docker-compose.yml", *DOCKERFILES])
def test_every_variable_of_the_server_is_a_setting(name: str) -> None:
    text = DOCKERFILES.get(name) or "\n".join(texts(COMPOSE))
    settings = {variable(setting) for setting in fields(Config)}
    assert set(re.findall(r"\bMNIST_[A-Z_]+\b", text)) <= settings


def test_the_compose_file_repeats_the_servers_own_defaults() -> None:
    defaults = {variable(setting): setting for setting in fields(Config)}
    environment = COMPOSE["services"]["serving"]["environment"]
    repeated = [(name, default) for name, default in variables_of_compose() if name.startswith("MNIST_")]
    published = {"MNIST_PUBLISHED_HOST": "${DIGITS_BIND:-127.0.0.1}"}
    assert environment == published | {name: f"${{{name}:-{default}}}" for name, default in repeated}
    for name, text in repeated:
        assert defaults[name].metadata["parse"](text) == defaults[name].default, name


def test_the_compose_file_for_a_card_changes_only_what_is_there() -> None:
    [(name, changes)] = from_yaml("docker-compose.gpu.yml")["services"].items()
    dockerfile = DOCKERFILES["serving.Dockerfile"]
    assert name in COMPOSE["services"]
    assert {f"ARG {argument}=" for argument in changes["build"]["args"]} <= set(dockerfile.splitlines())
    settings = {variable(setting): setting for setting in fields(Config)}
    for text in [changes["image"], *changes["environment"].values()]:
        for read, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text):
            assert f"`{read}`" in (ROOT / "docs/gpu.md").read_text()
            if read.startswith("MNIST_"):
                settings[read].metadata["parse"](default)
    pinned = (ROOT / "requirements/gpu.txt").read_text()
    assert "onnxruntime-gpu==" in pinned
    assert not re.search(r"^onnxruntime==", pinned, re.MULTILINE)


def started_by_compose(variables: dict[str, str]) -> Config:
    """Configuration of the server in its container, with these variables set for Compose."""
    environment = dict(re.findall(r"\b(MNIST_\w+)=(\S+)", DOCKERFILES["serving.Dockerfile"]))
    assert environment["MNIST_HOST"] == "0.0.0.0"
    for name, text in COMPOSE["services"]["serving"]["environment"].items():
        environment[name] = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)
    settings = {variable(setting): setting for setting in fields(Config)}
    return Config(**{settings[name].name: settings[name].metadata["parse"](text) for name, text in environment.items()})


@pytest.mark.parametrize("bind", ["", "127.0.0.1", "127.0.0.2", "[::1]", "0.0.0.0", "192.0.2.1", "[::]"])
def test_what_compose_publishes_for_others_is_not_plain_text_unless_that_is_said(bind: str) -> None:
    """As with --host of the server itself. Every published port of the server is on that address."""
    ports = COMPOSE["services"]["serving"]["ports"]
    assert all(port.startswith("${DIGITS_BIND:-127.0.0.1}:") for port in ports)
    assert started_by_compose({"DIGITS_BIND": bind, "MNIST_INSECURE": "true"}).insecure
    if bind in ("0.0.0.0", "192.0.2.1", "[::]"):
        with pytest.raises(ConfigError, match="others can reach it"):
            started_by_compose({"DIGITS_BIND": bind})
    else:
        assert not started_by_compose({"DIGITS_BIND": bind}).insecure


def test_every_image_has_a_version() -> None:
    for image in default_images():
        assert re.search(r":v?\d", image), image
    assert ":latest" not in "".join([*texts(COMPOSE), *DOCKERFILES.values()])


def test_every_base_image_is_the_same() -> None:
    assert len({image for image in default_images() if image.startswith("python:")}) == 1


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_run_as_a_numeric_user_other_than_root(name: str) -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILES[name], re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_keep_onnx_runtime_from_reporting_usage(name: str) -> None:
    assert "ENV ORT_DISABLE_TELEMETRY=1" in DOCKERFILES[name]


def test_the_serving_image_gets_no_training_framework() -> None:
    requirements = (ROOT / "requirements/serving.txt").read_text()
    assert not re.findall(r"^(?:tensorflow|keras)\S*", requirements, re.MULTILINE | re.IGNORECASE)
    assert "training" not in re.findall(r"^COPY (\w+)/", DOCKERFILES["serving.Dockerfile"], re.MULTILINE)


def test_every_alert_has_a_paragraph_in_the_guide() -> None:
    assert ALERTS
    assert {alert["alert"] for alert in ALERTS} == set(re.findall(r"^### (Digits\w+)$", GUIDE, re.MULTILINE))
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/containers.md#{alert['alert'].lower()}"


def test_every_variable_of_the_compose_file_is_in_the_guide() -> None:
    assert {name for name, _ in variables_of_compose() if f"`{name}`" not in GUIDE} == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_accepts_configuration_and_rules() -> None:
    folder = ROOT / "deploy/prometheus"
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = completed(["promtool", *arguments], cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
