"""mnist_build_info tells builds apart: by the revision given, or by git's in a checkout."""

import json
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from serving import cli
from tests.support.processes import ROOT, completed, server_command, started, without_settings


def revision_of_a_server(repository: Path, *flags: str, **variables: str) -> str:
    """The label `revision` on /metrics of a server that runs from this checkout."""
    environment = without_settings() | variables
    command = server_command("--model-repository", repository, "--device", "cpu", *flags)
    with started(command, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "serving":
                text = urlopen(f"http://{event['http']}/metrics", timeout=30).read().decode()
                [build] = [line for line in text.splitlines() if line.startswith("mnist_build_info{")]
                return str(build.partition('revision="')[2].partition('"')[0])
    raise AssertionError("the server ended before it served")


def git(folder: Path, *words: str) -> str:
    return completed(["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@localhost", *words]).stdout.strip()


def test_server_in_a_checkout_names_gits_revision_in_all_its_workers(tiny_repository: Path) -> None:
    revision = git(ROOT, "rev-parse", "HEAD")
    if not revision:
        pytest.skip("no git checkout")
    assert revision_of_a_server(tiny_repository, "--workers", "2") == revision


def test_server_of_an_image_names_the_revision_that_it_was_built_with(tiny_repository: Path) -> None:
    given = "1f2e3d"
    assert revision_of_a_server(tiny_repository, "--workers", "1", MNIST_BUILD_REVISION=given) == given


@pytest.mark.parametrize("place", ["lib/serving", "serving"])
def test_another_projects_checkout_is_no_revision_of_ours(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / place).mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=first")
    monkeypatch.setattr(cli, "__file__", str(tmp_path / place / "cli.py"))
    own = git(tmp_path, "rev-parse", "HEAD")
    assert own
    assert cli._checkout_revision() == (own if place == "serving" else "")


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli._checkout_revision() == ""
