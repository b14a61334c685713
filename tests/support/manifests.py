"""The manifests of deploy/kubernetes/, rendered as kubectl renders them."""

import re
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from serving.config import Config, variable
from serving.options import load_config
from tests.support.deployment import DOCKERFILES
from tests.support.processes import ROOT, completed

FOLDER = ROOT / "deploy/kubernetes"
OVERLAYS = ("small", "autoscaled")
FOLDERS = (*(f"overlays/{name}" for name in OVERLAYS), "training", "kserve")

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
