"""What the server has, the documents name: settings, metrics, RPCs, make targets; and links lead somewhere."""

import ast
import re
import tomllib
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from serving.config import Config, flag, variable
from serving.drift.reference import FEATURES
from serving.drift.windows import GAUGES, OBSERVATIONS
from serving.metrics.metrics import Metrics
from serving.metrics.supervisor_metrics import SupervisorMetrics
from tests.support.exposed import shadow_families

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "client/*.md", "docs/**/*.md", "models/**/*.md", "samples/*.md")
CODE = ("serving", "client", "training", "experiments", "benchmarks")
FOLDERS = (*CODE, "protos", "tests", "deploy", "samples")
MODULES = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py") if "peers" not in path.parts)
DOCUMENTS = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
# Model cards are written by code, and the changelog is the past.
PROSE = [path for path in DOCUMENTS if path.name not in ("MODEL_CARD.md", "CHANGELOG.md")]


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_flag_variable_default_and_help(setting: Field[Any]) -> None:
    value = setting.default
    shown = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    default = f"`{shown}`" if shown else ""
    row = f"| `{flag(setting)}` | `{variable(setting)}` | {default} | {setting.metadata['help']} |"
    assert row in (ROOT / "docs/configuration.md").read_text().splitlines()


def test_every_feature_of_drift_has_its_row_in_the_guide() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (ROOT / "docs/learning.md").read_text(), re.MULTILINE)
    assert set(FEATURES) <= {name for row in rows for name in re.findall(r"\w+", row)}


def metric_names() -> list[str]:
    registries = Metrics(CollectorRegistry()).registry, SupervisorMetrics().registry
    own = {family.name for registry in registries for family in registry.collect()}
    own |= {family.name for family in shadow_families()}
    own |= {OBSERVATIONS, *(name for name, *_ in GAUGES)}
    return sorted(name for name in own if name.startswith(("mnist_", "grpc_")))


@pytest.mark.parametrize("name", metric_names())
def test_every_metric_is_documented(name: str) -> None:
    assert re.search(rf"`{name}(_total|_info)?[`{{]", (ROOT / "docs/operations.md").read_text())


def test_no_document_names_a_metric_that_does_not_exist() -> None:
    known = set(metric_names())
    named = re.findall(r"`((?:mnist|grpc_server)_\w+?)(?:_total|_info|_bucket|_sum|_count)?[`{]", operations_and_api())
    assert set(named) - known - {"mnist_", "mnist_digits"} == set()  # the prefix, and the client's package


def methods() -> list[str]:
    services = [
        *digits_pb2.DESCRIPTOR.services_by_name.values(),
        *open_inference_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    return [method for service in services for method in service.methods_by_name]


@pytest.mark.parametrize("method", methods())
def test_every_rpc_is_documented(method: str) -> None:
    assert f"`{method}`" in (ROOT / "docs/api.md").read_text()


def test_every_make_target_is_in_contributing_and_the_two_commands_are_in_the_readme() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M)) - {"help"}
    assert set(re.findall(r"^\| `make ([a-z]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.M)) == targets
    assert re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.M) == ["run", "test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(document: Path) -> None:
    missing = []
    for path, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text()):
        target = document.parent / path if path else document
        if "://" in path:
            continue
        if not target.exists() or (heading and heading not in anchors(target)):
            missing.append(f"{path}#{heading}")
    assert missing == []


def anchors(document: Path) -> set[str]:
    """Names by which GitHub links to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_links_every_document_and_every_picture_is_shown_somewhere() -> None:
    shown = {
        (document.parent / path).resolve()
        for document in DOCUMENTS
        for path in re.findall(r"\]\(([^)#\s]+)", document.read_text())
    }
    indexed = {
        (index.parent / path).resolve()
        for index in (ROOT / "docs/README.md", ROOT / "docs/decisions/README.md")
        for path in re.findall(r"^- .*?\]\(([^)#\s]+)", index.read_text(), re.M)
    }
    documents = {path for path in (ROOT / "docs").rglob("*.md") if path != ROOT / "docs/README.md"}
    assert sorted(path.name for path in documents - indexed) == []
    assert sorted(path.name for path in set((ROOT / "docs/images").rglob("*.png")) - shown) == []


@pytest.mark.parametrize("document", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_prose_end_at_120_columns(document: Path) -> None:
    assert [line for line in prose(document.read_text()) if len(line) > 120] == []


def prose(text: str) -> list[str]:
    """Lines that are neither code nor a table; where a link leads does not count."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines = [line for line in without_code.splitlines() if not line.startswith(("|", "    "))]
    return [re.sub(r"\]\([^)\s]*\)", "]", line) for line in lines]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


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


@pytest.mark.parametrize("package", ["serving", "training"])
def test_the_layers_shown_are_those_that_are_enforced(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (enforced,) = (contract["layers"] for contract in contracts if contract.get("containers") == [package])
    text = (ROOT / "docs/architecture.md").read_text().split(f"<!-- layers: {package} -->\n```\n")[1].split("```")[0]
    assert [re.split(" {2,}", line)[0] for line in text.splitlines()] == enforced


def test_documents_name_files_and_commands_that_are_there() -> None:
    """Paths from the root such as serving/cli.py, names of tests, and modules that `python -m` runs."""
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    missing = []
    for document in PROSE:
        text = document.read_text()
        paths = re.findall(rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w/.-]*\w", text)
        modules = [module.replace(".", "/") for module in re.findall(rf"-m ((?:{'|'.join(FOLDERS)})[\w.]*\w)", text)]
        missing += [f"{document.name}: {name}" for name in re.findall(r"\btest_\w+\.py", text) if name not in tests]
        missing += [f"{document.name}: {path}" for path in paths if not (ROOT / path).exists()]
        missing += [
            f"{document.name}: -m {module}"
            for module in modules
            if not any((ROOT / name).exists() for name in (f"{module}.py", f"{module}/__main__.py"))
        ]
    assert missing == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_in_one_line_what_it_is(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    first, _, rest = docstring.partition("\n")
    assert first.endswith((".", "!", "?", ":")), "a sentence that ends on the first line"
    assert not rest or rest.startswith("\n"), "the first line stands alone"


def operations_and_api() -> str:
    return "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "api.md"))
