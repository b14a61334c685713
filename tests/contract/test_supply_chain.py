"""The bills of materials in deploy/sbom/ name what requirements/ locks, and what runs, runs with few rights."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ("serving", "training")
IMAGE_PLATFORM = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "networks": ["digits"]}
LIMITS = {"mem_limit", "pids_limit"}
MORE_RIGHTS = {"cap_add", "devices", "ipc", "network_mode", "pid", "privileged", "userns_mode"}


def bill(image: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / f"deploy/sbom/{image}.cdx.json").read_text())
    return document


def dockerfile(image: str) -> str:
    return (ROOT / f"deploy/{image}.Dockerfile").read_text().replace("\\\n", " ")


def packages(image: str, kind: str) -> list[dict[str, Any]]:
    return [
        component for component in bill(image)["components"] if component.get("purl", "").startswith(f"pkg:{kind}/")
    ]


def platform(image: str) -> dict[str, str]:
    [version] = [component["version"] for component in bill(image)["components"] if component["type"] == "platform"]
    return {**IMAGE_PLATFORM, "python_full_version": version, "python_version": version.rpartition(".")[0]}


def locked(image: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes of each package that the image's platform gets."""
    found: dict[str, tuple[str, set[str]]] = {}
    for line in (ROOT / f"requirements/{image}.txt").read_text().replace("\\\n", " ").splitlines():
        name, version, marker = re.match(r"([\w.-]+)(?:\[\S+\])?==(\S+)(?: ; (.*?))? +--hash", line).groups()  # type: ignore[union-attr]  # test_lock_files.py has every line match
        if marker is None or Marker(marker).evaluate(platform(image)):
            found[canonicalize_name(name)] = (version, set(re.findall(r"sha256:([0-9a-f]{64})", line)))
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_names_exactly_what_is_locked(image: str) -> None:
    """After `make lock`: build the images, then `make sbom` (docs/supply-chain.md)."""
    named = {canonicalize_name(package["name"]): package["version"] for package in packages(image, "pypi")}
    assert named == {name: version for name, (version, _) in locked(image).items()}


@pytest.mark.parametrize("image", IMAGES)
def test_every_python_package_came_from_a_file_that_is_locked(image: str) -> None:
    allowed = {name: hashes for name, (_, hashes) in locked(image).items()}
    for package in packages(image, "pypi"):
        [found] = package["hashes"]
        assert found["alg"] == "SHA-256"
        assert found["content"] in allowed[canonicalize_name(package["name"])], package["name"]


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_is_of_the_application_and_names_the_systems_packages(image: str) -> None:
    version = re.findall(r"^ARG VERSION=(.*)$", dockerfile(image), re.MULTILINE)
    root = bill(image)["metadata"]["component"]
    assert (root["type"], root["name"], [root["version"]]) == ("application", f"mnist-digits {image}", version)
    assert {"libc6", "openssl"} <= {package["name"] for package in packages(image, "deb")}


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_is_the_same_each_time_it_is_written_and_says_nothing_of_where_packages_come_from(image: str) -> None:
    document = bill(image)
    assert document["specVersion"] == "1.6"
    assert "serialNumber" not in document
    assert "timestamp" not in document["metadata"]
    assert re.findall(r'"https?://[^"]*"', json.dumps(document)) == [f'"{document["$schema"]}"']


@pytest.mark.parametrize("image", IMAGES)
def test_images_install_by_hash_on_a_versioned_base_as_a_user_other_than_root(image: str) -> None:
    text = dockerfile(image)
    installs = re.findall(r"pip \S+ \S+ install .*", text)
    assert installs
    assert all("--require-hashes" in line and "--only-binary :all:" in line for line in installs)
    assert re.findall(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-\S+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert users
    assert "0" not in users[-1]


def test_every_service_has_a_read_only_root_and_no_rights() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services
    for name, service in services.items():
        assert service | HARDENED == service, name
        assert not MORE_RIGHTS & service.keys(), name
        assert service.keys() >= LIMITS, name
        assert str(service.get("user", "image's")).partition(":")[0] not in ("0", "root"), name


def test_the_script_that_is_shipped_is_the_one_that_the_bill_names() -> None:
    [component] = packages("serving", "npm")
    script = ROOT / "serving/api/http/static/docs/swagger-ui-bundle.js"
    assert component["name"] == "swagger-ui-dist"
    assert component["hashes"][0]["content"] == hashlib.sha256(script.read_bytes()).hexdigest()
