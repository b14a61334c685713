"""The manifests of deploy/kubernetes/, without a cluster: rendered, valid, and true of the program that they start."""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jsonschema
import kubernetes_validate
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.cli import OVERTIME_SECONDS
from serving.config import Config, variable
from serving.options import load_config
from tests.contract.test_deploy import COMPOSE, DOCKERFILES, default_images, from_yaml, metrics_in
from tests.support.processes import ROOT, completed
from tests.support.servers import StartServer
from training.cli import PREFIX, run_all

FOLDER = ROOT / "deploy/kubernetes"
KUBERNETES = ("1.30", "1.34", "1.37")
OVERLAYS = ("small", "autoscaled")
FOLDERS = (*(f"overlays/{name}" for name in OVERLAYS), "training", "kserve")
MARGIN_SECONDS = 5  # of the termination grace, over all that may take its time

Resource = dict[str, Any]


@cache
def rendered(folder: Path) -> list[Resource]:
    """What `kubectl apply --kustomize` would apply."""
    done = completed([Path(sys.executable).with_name("kubectl"), "kustomize", folder])
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def resources(*folders: str) -> list[Resource]:
    return [each for folder in folders for each in rendered(FOLDER / folder)]


def of_kind(kind: str, *folders: str) -> list[Resource]:
    return [each for each in resources(*folders) if each["kind"] == kind]


def the(kind: str, *folders: str) -> Resource:
    """The one resource of this kind."""
    [found] = of_kind(kind, *folders)
    return found


def schemas() -> dict[tuple[str, str], Resource]:
    documents = [json.loads(path.read_text()) for path in (ROOT / "tests/data/crds").glob("*.json")]
    return {(each["apiVersion"], each["kind"]): closed(each["schema"]) for each in documents}


def closed(schema: Any) -> Any:
    """A schema that refuses fields which it does not name, as --validate=strict does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(each) for name, each in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        inner["additionalProperties"] = False
    return inner


def pods(*folders: str) -> list[Resource]:
    """The specification of each pod that is made."""
    made = [each["spec"]["template"]["spec"] for each in resources(*folders) if each["kind"] in ("Deployment", "Job")]
    return made + [each["spec"] for each in of_kind("ServingRuntime", *folders)]


def containers(*folders: str) -> list[Resource]:
    return [each for pod in pods(*folders) for each in [*pod.get("initContainers", []), *pod["containers"]]]


def server(folder: str) -> Resource:
    [container] = [each for each in containers(folder) if "serving" in each["image"]]
    return container


def config(folder: str) -> Config:
    """The configuration of the server in its container."""
    container, variables = server(folder), dict(re.findall(r"\b(MNIST_\w+)=(\S+)", DOCKERFILES["serving.Dockerfile"]))
    variables |= {each["name"]: each["value"] for each in container.get("env", [])}
    settings = {variable(setting): setting.name for setting in fields(Config)}
    flags = [f"--{settings[name].replace('_', '-')}={text}" for name, text in variables.items()]  # unknown: a KeyError
    return load_config([*flags, *(word.replace("{{.Name}}", "digits") for word in container.get("args", []))])


def selectors(node: object) -> Iterator[dict[str, str]]:
    """Every selector of pods, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("selector", "labelSelector", "podSelector") and value:
                yield value.get("matchLabels", value)
            else:
                yield from selectors(value)
    elif isinstance(node, list):
        for each in node:
            yield from selectors(each)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("version", KUBERNETES)
def test_what_is_rendered_is_valid(folder: str, version: str) -> None:
    customs = schemas()
    for each in resources(folder):
        if (each["apiVersion"], each["kind"]) in customs:
            jsonschema.Draft202012Validator(customs[each["apiVersion"], each["kind"]]).validate(each)
        elif each["kind"] != "PrometheusRule":  # compared with deploy/prometheus, which promtool checks
            assert kubernetes_validate.validate(each, version, strict=True) == version


def test_a_field_that_does_not_exist_is_not_valid() -> None:
    deployment, customs = the("Deployment", "overlays/small"), schemas()
    misspelt = json.loads(json.dumps(deployment).replace("preStop", "prestop"))
    with pytest.raises(kubernetes_validate.ValidationError, match="prestop"):
        kubernetes_validate.validate(misspelt, KUBERNETES[0], strict=True)
    for kind, folder, field in [
        ("ServingRuntime", "kserve", "readinessProbe"),
        ("InferenceService", "kserve", "serverAddress"),
        ("ServiceMonitor", "overlays/autoscaled", "jobLabel"),
    ]:
        resource = the(kind, folder)
        misspelt = json.loads(json.dumps(resource).replace(field, "unheard"))
        with pytest.raises(jsonschema.ValidationError, match="unheard"):
            jsonschema.Draft202012Validator(customs[resource["apiVersion"], kind]).validate(misspelt)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_can_serve_the_volume_that_training_writes(overlay: str, tmp_path: Path) -> None:
    paths = [os.path.relpath(FOLDER / part, tmp_path) for part in (f"overlays/{overlay}", "components/model-volume")]
    kustomization = {"resources": paths[:1], "components": paths[1:]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    [pod] = [each["spec"]["template"]["spec"] for each in rendered(tmp_path) if each["kind"] == "Deployment"]
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim", "training")}
    [volume] = [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] in claims
    assert Path(mount["mountPath"]) == Path("/app") / Config().model_repository
    assert mount["readOnly"]


def test_training_mounts_what_it_claims_and_writes_where_servers_read() -> None:
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim", "training")}
    [pod] = pods("training")
    volumes = {each["name"]: each.get("persistentVolumeClaim", {}).get("claimName") for each in pod["volumes"]}
    assert set(volumes.values()) - {None} == claims
    for container in containers("training"):
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    mounted = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes[mounted["/app/models"]] == "digits-models"


@pytest.mark.parametrize("folder", FOLDERS)
def test_selectors_choose_the_pods(folder: str) -> None:
    for workload in [*of_kind("Deployment", folder), *of_kind("Job", folder)]:
        labels = workload["spec"]["template"]["metadata"]["labels"].items()
        for resource in resources(folder):
            for selector in selectors(resource["spec"]):
                assert selector.items() <= labels, resource["kind"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_are_those_of_the_server(overlay: str) -> None:
    folder = f"overlays/{overlay}"
    container = server(folder)
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named == {"grpc": config(folder).grpc_port, "http": config(folder).http_port}
    assert container["readinessProbe"]["grpc"]["port"] == named["grpc"]
    assert container["livenessProbe"]["httpGet"]["port"] == "http"
    for service in of_kind("Service", folder):
        for port in service["spec"]["ports"]:
            assert (port["name"], port["port"]) == (port["targetPort"], named[port["targetPort"]])
            assert (port["appProtocol"] == "kubernetes.io/h2c") == (port["name"] == "grpc")
    rules = the("NetworkPolicy", folder)["spec"]["ingress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == set(named)


def test_kserve_finds_the_ports_of_the_server() -> None:
    ports = {port["name"]: port["containerPort"] for port in server("kserve")["ports"]}
    assert list(ports.items()) == [("h2c", config("kserve").grpc_port), ("http", config("kserve").http_port)]
    probes = [server("kserve")[kind]["httpGet"]["port"] for kind in ("readinessProbe", "livenessProbe")]
    assert probes == [ports["http"]] * 2
    assert the("ServingRuntime", "kserve")["spec"]["annotations"]["prometheus.kserve.io/port"] == str(ports["http"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_there_is_a_service_with_an_address_and_one_without(overlay: str) -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind("Service", f"overlays/{overlay}")}
    assert {name: spec.get("clusterIP") for name, spec in services.items()} == {
        "digits": None,
        "digits-headless": "None",
    }
    assert "dns:///digits-headless:50051" in (ROOT / "docs/kubernetes.md").read_text()


@pytest.mark.parametrize("folder", ["overlays/small", "overlays/autoscaled", "kserve"])
def test_the_grace_is_longer_than_all_that_may_take_its_time(folder: str) -> None:
    [pod] = pods(folder)
    if folder == "kserve":
        pod = the("InferenceService", folder)["spec"]["predictor"]
    waits = server(folder)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drains = config(folder).drain_grace_seconds + OVERTIME_SECONDS
    assert pod["terminationGracePeriodSeconds"] >= waits + drains + MARGIN_SECONDS


@pytest.mark.parametrize("folder", ["overlays/small", "overlays/autoscaled", "kserve"])
def test_clients_look_for_new_pods_once_a_minute(folder: str) -> None:
    assert config(folder).max_connection_age_seconds == 60


@pytest.mark.parametrize("folder", ["overlays/small", "overlays/autoscaled", "kserve"])
def test_a_worker_has_one_processor_and_one_thread(folder: str) -> None:
    resources = server(folder)["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"] == str(int(resources["limits"]["cpu"]))
    assert (config(folder).inference_threads, config(folder).workers) == (1, 0)  # 0: one for each processor


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_takes_no_pod_away_and_neither_does_a_drain_take_the_last(overlay: str) -> None:
    deployment, budget = (the(kind, f"overlays/{overlay}")["spec"] for kind in ("Deployment", "PodDisruptionBudget"))
    scalers = of_kind("HorizontalPodAutoscaler", f"overlays/{overlay}")
    assert len(scalers) == ("replicas" not in deployment)  # or each `apply` would undo what the autoscaler has set
    fewest = scalers[0]["spec"]["minReplicas"] if scalers else deployment["replicas"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert 0 < budget["maxUnavailable"] < fewest


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_have_no_rights_that_they_do_not_use(folder: str) -> None:
    holders = [*pods(folder), *(each["spec"]["predictor"] for each in of_kind("InferenceService", folder))]
    assert any(pod.get("automountServiceAccountToken") is False for pod in holders)
    for pod in pods(folder):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            rights = pod.get("securityContext", {}) | container["securityContext"]
            assert rights["runAsNonRoot"]
            assert f"{rights['runAsUser']}:{rights['runAsGroup']}" == "10001:10001"
            assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert "memory" in container["resources"]["limits"]


def test_images_are_those_that_compose_builds() -> None:
    built = {text for text in default_images() if text.startswith("mnist-digits/")}
    assert len(built) == 2
    assert {each["image"] for each in containers(*FOLDERS)} == built


def test_the_job_uses_flags_and_variables_that_training_has() -> None:
    [container] = pods("training")[0]["containers"]
    options = {flag for option in run_all.params for flag in option.opts}
    assert set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(container["args"]))) <= options
    names = {f"{PREFIX}_{option.name}".upper() for option in run_all.params}
    assert {each["name"] for each in container["env"]} <= names
    assert container["volumeMounts"][1]["mountPath"] == "/app/runs"  # where the script looks for a run to go on with
    assert COMPOSE["services"]["training"]["stop_grace_period"] == "60s"
    assert pods("training")[0]["terminationGracePeriodSeconds"] == 60


@pytest.mark.parametrize("begun", [False, True])
def test_a_pod_of_the_job_goes_on_with_the_run_that_another_has_begun(begun: bool, tmp_path: Path) -> None:
    [container] = pods("training")[0]["containers"]
    program = tmp_path / "python"  # says how it was started
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / "runs" / ("uid" if begun else "of-another-job")).mkdir(parents=True)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MNIST_TRAIN_RUN": "uid"}
    done = completed([*container["command"], *container["args"]], cwd=tmp_path, env=variables)
    assert done.stdout.split() == ["-m", "training", "run", *(["--resume"] if begun else [])], done.stderr


def test_kserve_chooses_the_runtime_and_mounts_what_training_writes() -> None:
    predictor, runtime = (the(kind, "kserve") for kind in ("InferenceService", "ServingRuntime"))
    model = predictor["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"] == ["v2", "grpc-v2"]
    assert model["modelFormat"] in [
        {name: each[name] for name in ("name", "version")} for each in runtime["spec"]["supportedModelFormats"]
    ]
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim", "training")}
    claim, name = re.fullmatch(r"pvc://([^/]+)/([^/]+)", model["storageUri"]).groups()  # type: ignore[union-attr]  # fails where it is none
    assert claim in claims
    assert name == Config().model_name
    assert predictor["spec"]["predictor"]["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert config("kserve").model_folder == Path("/mnt/models")
    assert config("kserve").model_name == predictor["metadata"]["name"]


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
