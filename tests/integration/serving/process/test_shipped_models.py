"""A folder of models that a newer image did not fill again: the server says so, until the image's models are copied."""

import json
from pathlib import Path

import pytest

from serving.commands.versions import versions
from serving.logging import configure_logging
from serving.options import run_command
from tests.support.changing_repository import POLL, metric, model, until
from tests.support.servers import StartServer
from tests.support.tiny_model import write_tiny_version

NOT_COPIED = 'mnist_model_not_copied_info{version="2"} 1.0'


def warnings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [event for event in events if event["event"] == "model_not_copied"]


async def test_newer_version_of_the_image_is_reported_until_the_command_has_copied_it(
    start_server: StartServer,
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shipped = tmp_path_factory.mktemp("shipped")
    write_tiny_version(shipped, 2)
    configure_logging("json", "info")
    async with start_server(model_repository=repository, shipped_models=shipped, **POLL) as server:
        assert (await model(server)).version == 1
        [warning] = warnings(capsys)
        assert warning["versions"] == [2]
        assert "docker compose run --rm versions copy" in str(warning["do"])
        assert await metric(server, NOT_COPIED)
        copy = ["copy", "--model-repository", str(repository), "--shipped-models", str(shipped)]
        assert run_command(versions, copy) == 0
        await until(server, lambda description: description.version == 2)
        assert not await metric(server, "mnist_model_not_copied_info{")
    capsys.readouterr()
    async with start_server(model_repository=repository, shipped_models=shipped) as server:
        assert (await model(server)).version == 2
        assert warnings(capsys) == []


async def test_older_versions_of_the_image_and_a_folder_that_is_not_there_are_no_matter(
    start_server: StartServer,
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shipped = tmp_path_factory.mktemp("shipped")
    write_tiny_version(shipped, 1)
    write_tiny_version(repository, 2)
    configure_logging("json", "info")
    for folder in (shipped, shipped / "nowhere"):
        async with start_server(model_repository=repository, shipped_models=folder) as server:
            assert not await metric(server, "mnist_model_not_copied_info{")
    assert warnings(capsys) == []
