"""The manifests of deploy/kubernetes/, without a cluster: rendered, valid, and true of the program that they start."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from serving.cli import OVERTIME_SECONDS
from serving.config import Config
from tests.support.deployment import COMPOSE, default_images
from tests.support.manifests import (
    FOLDER,
    FOLDERS,
    OVERLAYS,
    Resource,
    config,
    containers,
    of_kind,
    pods,
    rendered,
    resources,
    server,
    the,
)
from tests.support.processes import ROOT, completed
from training.cli import PREFIX, run_all

KUBERNETES = ("1.30", "1.34", "1.37")
MARGIN_SECONDS = 5  # of the termination grace, over all that may take its time


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
