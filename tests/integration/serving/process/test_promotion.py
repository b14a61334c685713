"""What a sound new version must be before it is served by itself, and what a restart makes of it."""

from pathlib import Path

import pytest

from serving.commands.versions import versions
from serving.options import run_command
from tests.support.changing_repository import POLL, changed_after_it_was_described, metric, model, until
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, write_tiny_version


def write_version(repository: Path, version: int, accuracy: float) -> Path:
    """Writes a sound version with this accuracy recorded."""
    aside = write_tiny_version(repository / "aside", version)
    metrics = {"mnist_test": {"images": 10_000, "accuracy": accuracy, "refused": 0.002}}
    rewrite_metadata(aside, version, metrics=metrics)
    return aside.rename(repository / "mnist" / str(version))


@pytest.fixture
def good(repository: Path) -> Path:
    """Repository whose version 1 reads 99.5 % of 10,000 digits."""
    metrics = {"mnist_test": {"images": 10_000, "accuracy": 0.995, "refused": 0.002}}
    rewrite_metadata(repository / "mnist" / "1", metrics=metrics)
    return repository


async def test_worse_version_is_refused_and_reported_also_after_a_restart_until_it_is_pinned(
    start_server: StartServer, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with start_server(model_repository=good, **POLL) as server:
        write_version(good, 2, 0.97)
        description = await until(server, lambda description: bool(description.refused_versions))
        (refused,) = description.refused_versions
        assert (description.version, refused.version, refused.check) == (1, 2, "worse")
        assert "accuracy of mnist_test is 97.00%, 99.50% before" in refused.reason
        assert await metric(server, 'mnist_model_refused_info{check="worse",version="2"} 1.0')
    async with start_server(model_repository=good, **POLL) as server:
        assert (await model(server)).version == 1
        write_version(good, 3, 0.9949)  # within chance
        await until(server, lambda description: description.version == 3)
        capsys.readouterr()
        assert run_command(versions, ["--model-repository", str(good), "list"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "1",
            "2  worse: accuracy of mnist_test is 97.00%, 99.50% before",
            "3  to be served",
        ]
        assert run_command(versions, ["--model-repository", str(good), "pin", "2"]) == 0
        await until(server, lambda description: description.version == 2)


async def test_allowed_drop_lets_a_worse_version_in(start_server: StartServer, good: Path) -> None:
    write_version(good, 2, 0.97)
    async with start_server(model_repository=good, max_quality_drop=1.0) as server:
        assert (await model(server)).version == 2
    async with start_server(model_repository=good) as server:
        assert (await model(server)).version == 1


async def test_version_that_is_refused_itself_is_no_yardstick(start_server: StartServer, good: Path) -> None:
    changed_after_it_was_described(write_version(good, 2, 1.0))
    changed_after_it_was_described(good / "mnist" / "1")
    write_version(good, 3, 0.99)
    async with start_server(model_repository=good, **POLL) as server:
        assert (await model(server)).version == 3


async def test_by_hand_new_versions_wait_for_a_command_also_after_a_restart(
    start_server: StartServer, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model-repository", str(good), "--promote", "manual"]
    async with start_server(model_repository=good, promote="manual", **POLL) as server:
        write_version(good, 2, 0.999)
        description = await until(server, lambda description: bool(description.refused_versions))
        assert (description.version, [each.check for each in description.refused_versions]) == (1, ["waiting"])
        assert await metric(server, 'mnist_model_loads_total{outcome="waiting"} 1.0')
    assert run_command(versions, [*command, "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["1  to be served", "2  waits: --promote manual"]
    async with start_server(model_repository=good, promote="manual", **POLL) as server:
        assert (await model(server)).version == 1
        assert run_command(versions, [*command, "pin", "2"]) == 0
        description = await until(server, lambda description: description.version == 2)
        assert list(description.refused_versions) == []
