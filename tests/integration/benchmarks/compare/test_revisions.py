"""Two checkouts are measured under the same loads, each with its own server."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.compare import revisions
from benchmarks.servers.lineup import ROOT
from tests.support.h2load import needs_h2load


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Another checkout: a folder with links to this one's code and environment."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("serving", "protos", "client"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@needs_h2load
def test_both_servers_are_measured_under_every_load(
    base: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (graph,) = runs.rglob("model.onnx")
    figures = tmp_path / "revisions.json"
    options = ["--rounds", "1", "--seconds", "0.2", "--loads", "1", "http-png", "--runs", str(runs)]
    revisions.main([str(base), *options, "--model-repository", str(graph.parents[2]), "--json", str(figures)])
    content = json.loads(figures.read_text())
    assert set(content["loads"]) == {"1", "http-png"}
    for by_revision in content["loads"].values():
        assert [measured[0]["requests_per_second"] > 10 for measured in by_revision.values()] == [True, True]
    assert set(content["memory_mebibytes"]) == {"base", "this checkout"}
    assert "ModelInfer, 1 digit a request, 1 at once" in capsys.readouterr().out


@needs_h2load
def test_a_checkout_without_an_environment_is_refused(tmp_path: Path, runs: Path) -> None:
    (graph,) = runs.rglob("model.onnx")
    with pytest.raises(SystemExit, match="does not exist: install"):
        revisions.main([str(tmp_path), "--runs", str(runs), "--model-repository", str(graph.parents[2])])
