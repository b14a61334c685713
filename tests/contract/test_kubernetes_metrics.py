"""What scales and watches the pods of deploy/kubernetes/ queries what the server exposes."""

import re
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.deployment import from_yaml, metrics_in
from tests.support.manifests import (
    of_kind,
    server,
    the,
)
from tests.support.servers import StartServer


def adapter_rules() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = from_yaml("deploy/kubernetes/prometheus-adapter.yaml")["rules"]["custom"]
    return rules


def test_the_autoscaler_uses_the_metric_that_the_adapter_makes() -> None:
    [rule] = adapter_rules()
    metrics = the("HorizontalPodAutoscaler", "overlays/autoscaled")["spec"]["metrics"]
    [pods_metric] = [each["pods"] for each in metrics if each["type"] == "Pods"]
    assert pods_metric["metric"]["name"] == rule["name"]["as"]
    assert re.fullmatch(rule["name"]["matches"], rule["seriesQuery"].partition("{")[0])
    workers = server("overlays/autoscaled")["resources"]["limits"]["cpu"]
    [kserve] = the("InferenceService", "kserve")["spec"]["predictor"]["autoScaling"]["metrics"]
    assert pods_metric["target"] == {"type": "AverageValue", "averageValue": workers}
    assert kserve["external"]["target"] == {
        "type": "Value",
        "value": workers,
    }  # averageValue, KServe 0.20 does not read


async def test_the_metrics_and_paths_that_are_named_are_answered_by_a_server(start_server: StartServer) -> None:
    query = the("InferenceService", "kserve")["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"][
        "query"
    ]
    series = {name for text in (query, *(rule["seriesQuery"] for rule in adapter_rules())) for name in metrics_in(text)}
    probes = [
        server(folder)[kind] for folder in ("overlays/small", "kserve") for kind in ("readinessProbe", "livenessProbe")
    ]
    paths = {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}
    scraped = the("ServiceMonitor", "overlays/autoscaled")["spec"]["endpoints"][0]["path"]
    async with (
        start_server() as running,
        aiohttp.ClientSession(f"http://127.0.0.1:{running.http_port}") as session,
        grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)  # the stubs know the blocking channel only
        asked = health_pb2.HealthCheckRequest(service=probes[0]["grpc"].get("service", ""))
        assert (await health.Check(asked)).status == health_pb2.HealthCheckResponse.SERVING
        for path in paths:
            assert (await session.get(path)).status == 200
        exposed = re.findall(r"^(\w+)", await (await session.get(scraped)).text(), re.MULTILINE)
    assert series
    assert series <= set(exposed)


def test_prometheus_scrapes_every_pod_once_as_the_job_of_the_rules() -> None:
    monitor = the("ServiceMonitor", "overlays/autoscaled")["spec"]
    labels = [each["metadata"]["labels"] for each in of_kind("Service", "overlays/autoscaled")]
    ports = [port["name"] for each in of_kind("Service", "overlays/autoscaled") for port in each["spec"]["ports"]]
    assert all(monitor["selector"]["matchLabels"].items() <= each.items() for each in labels)
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == ["http"]
    assert ports.count("http") == 1
    [scraped] = from_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    assert {each[monitor["jobLabel"]] for each in labels} == {scraped["job_name"]}


def test_the_rules_of_the_operator_are_those_of_compose() -> None:
    rules = the("PrometheusRule", "overlays/autoscaled")["spec"]
    assert rules == from_yaml("deploy/prometheus/alerts.yml")
