"""What deploy/ and the compose file say, for tests of its claims."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.processes import ROOT

# In the order in which they are cut away: texts, selectors, ranges, label lists, functions, words; metrics are left.
NO_METRICS = (
    r'"[^"]*"',
    r"\{[^}]*\}",
    r"\[[^\]]*\]",
    r"\boffset\s+\w+",
    r"\b(?:by|ignoring|on)\s*\([^)]*\)",
    r"\b\w+\s*(?=\()",
    r"\b(?:and|or|unless|group_left|group_right|bool)\b",
)


def from_yaml(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
    return document


COMPOSE = from_yaml("docker-compose.yml")
DASHBOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
]
DOCKERFILES = {path.name: path.read_text() for path in sorted((ROOT / "deploy").glob("*.Dockerfile"))}


def metrics_in(expression: str) -> set[str]:
    for pattern in NO_METRICS:
        expression = re.sub(pattern, " ", expression)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", expression))


def panel_queries() -> list[tuple[str, dict[str, Any]]]:
    """Dashboard and title of each panel with each of its queries."""
    panels = [(board["uid"], panel) for board in DASHBOARDS for panel in board["panels"]]
    return [(f"{uid}: {panel['title']}", target) for uid, panel in panels for target in panel.get("targets", [])]


def texts(node: object) -> Iterator[str]:
    """Every text in a YAML document, keys included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (*texts(key), *texts(value))
    elif isinstance(node, list):
        for each in node:
            yield from texts(each)
    elif isinstance(node, str):
        yield node


def default_images() -> list[str]:
    """Images of every service, and those that every image is built on."""
    services = COMPOSE["services"].values()
    named = [service["image"] for service in services]
    named += [service["build"]["args"]["PYTHON_IMAGE"] for service in services if "build" in service]
    in_compose = [re.fullmatch(r"\$\{\w+:-([^}]+)\}", name).group(1) for name in named]  # type: ignore[union-attr]  # fails where there is no default
    bases = [re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE) for text in DOCKERFILES.values()]
    return in_compose + [base for [base] in bases]
