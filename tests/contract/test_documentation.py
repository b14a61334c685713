"""What the server has, the documents name: settings, metrics, RPCs, make targets; and links lead somewhere."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from serving.config import Config, flag, variable
from serving.metrics.metrics import Metrics, SupervisorMetrics

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "models/**/*.md", "samples/*.md")
CODE = ("serving", "training", "benchmarks")
MODULES = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py") if "peers" not in path.parts)
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


def test_the_readmes_tree_names_folders_that_are_there_and_every_folder_of_serving() -> None:
    tree = (ROOT / "README.md").read_text().split("<!-- tree -->")[1].split("<!-- /tree -->")[0]
    named, parents = set(), [""]
    for indent, name in re.findall(r"^( *)(\S+/)  +\S", tree, re.M):
        parents = parents[: len(indent) // 2 + 1]
        parents.append(parents[-1] + name)
        named.add(parents[-1])
    assert [folder for folder in sorted(named) if not (ROOT / folder).is_dir()] == []
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "serving").rglob("__init__.py")}
    assert packages <= named


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_in_one_line_what_it_is(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    first, _, rest = docstring.partition("\n")
    assert first.endswith((".", "!", "?", ":")), "a sentence that ends on the first line"
    assert not rest or rest.startswith("\n"), "the first line stands alone"


def operations_and_api() -> str:
    return "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "api.md"))
