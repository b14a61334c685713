"""What the server has, the documents name: settings, metrics, RPCs, make targets; and links lead somewhere."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from serving.config import Config, flag, variable
from serving.metrics import Metrics
from serving.supervisor_metrics import SupervisorMetrics

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "models/**/*.md", "samples/*.md")
DOCUMENTS = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_flag_variable_and_default(setting: object) -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    default = getattr(setting, "default", None)
    row = next((line for line in text.splitlines() if line.startswith(f"| `{flag(setting)}`")), "")  # type: ignore[arg-type]  # a Field
    assert f"`{variable(setting)}`" in row  # type: ignore[arg-type]  # a Field
    shown = str(default).lower() if isinstance(default, bool) else "" if default is None else str(default)
    assert f"`{shown}`" in row or not shown, f"{flag(setting)}: the documented default is not {shown}"  # type: ignore[arg-type]  # a Field


def metric_names() -> list[str]:
    registries = Metrics(CollectorRegistry()).registry, SupervisorMetrics().registry
    own = {family.name for registry in registries for family in registry.collect()}
    return sorted(name for name in own if name.startswith(("mnist_", "grpc_")))


@pytest.mark.parametrize("name", metric_names())
def test_every_metric_is_documented(name: str) -> None:
    assert re.search(rf"`{name}(_total|_info)?[`{{]", (ROOT / "docs/operations.md").read_text())


def test_no_document_names_a_metric_that_does_not_exist() -> None:
    known = set(metric_names())
    named = re.findall(r"`((?:mnist|grpc_server)_\w+?)(?:_total|_info|_bucket|_sum|_count)?[`{]", operations_and_api())
    assert set(named) - known - {"mnist_"} == set()


def methods() -> list[str]:
    services = [
        *digits_pb2.DESCRIPTOR.services_by_name.values(),
        *open_inference_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    return [method for service in services for method in service.methods_by_name]


@pytest.mark.parametrize("method", methods())
def test_every_rpc_is_documented(method: str) -> None:
    assert f"`{method}`" in (ROOT / "docs/api.md").read_text()


def test_every_make_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    readme = (ROOT / "README.md").read_text()
    assert [target for target in targets if f"make {target}" not in readme and target != "help"] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_the_readmes_tree_names_every_module_and_no_other() -> None:
    tree = (ROOT / "README.md").read_text().split("<!-- tree -->")[1].split("<!-- /tree -->")[0]
    named, folders = set(), [""]
    for indent, name in re.findall(r"^( *)(\S+)  +\S", tree, re.M):
        folders = folders[: len(indent) // 2 + 1]
        if name.endswith("/"):
            folders.append(folders[-1] + name)
        elif name.endswith(".py"):
            named.add(folders[-1] + name)
    roots = ("serving", "training", "benchmarks")
    there = {str(path.relative_to(ROOT)) for root in roots for path in (ROOT / root).rglob("[!_]*.py")}
    assert named == there


def operations_and_api() -> str:
    return "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "api.md"))
