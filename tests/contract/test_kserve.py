"""The resources for KServe in deploy/kubernetes/kserve/ are true of the server and of each other."""

import re
from pathlib import Path

from serving.config import Config
from tests.support.manifests import (
    config,
    of_kind,
    server,
    the,
)


def test_kserve_finds_the_ports_of_the_server() -> None:
    ports = {port["name"]: port["containerPort"] for port in server("kserve")["ports"]}
    assert list(ports.items()) == [("h2c", config("kserve").grpc_port), ("http", config("kserve").http_port)]
    probes = [server("kserve")[kind]["httpGet"]["port"] for kind in ("readinessProbe", "livenessProbe")]
    assert probes == [ports["http"]] * 2
    assert the("ServingRuntime", "kserve")["spec"]["annotations"]["prometheus.kserve.io/port"] == str(ports["http"])


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
