"""The documented ways back work where the server's own file system is read-only, as its container's is."""

import sys
from pathlib import Path

import pytest

from serving.errors import ModelRejectedError
from serving.version_policy import VersionPolicy
from tests.support import own_network
from tests.support.changing_repository import POLL, model, until
from tests.support.deployment import COMPOSE
from tests.support.processes import completed
from tests.support.servers import StartServer
from tests.support.tiny_model import write_tiny_version

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


@pytest.mark.skipif(bool(own_network.why_not()), reason=f"no namespaces: {own_network.why_not()}")
def test_rollback_on_a_read_only_file_system_says_where_to_run_it(repository: Path) -> None:
    write_tiny_version(repository, 2)
    rollback = (sys.executable, "-m", "serving", "versions", "rollback", "--model-repository", repository)
    done = completed([*own_network.in_own_mounts(READ_ONLY, repository), *rollback])
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "docker compose run --rm versions rollback" in done.stderr


async def test_what_compose_starts_for_it_writes_into_the_servers_volume(
    start_server: StartServer, repository: Path
) -> None:
    serving, tool = COMPOSE["services"]["serving"], COMPOSE["services"]["versions"]
    assert tool["image"] == serving["image"]
    [volume] = tool["volumes"]
    assert f"{volume}:ro" in serving["volumes"]
    assert tool["profiles"]
    assert tool["entrypoint"][0] == "python"
    write_tiny_version(repository, 2)
    async with start_server(model_repository=repository, **POLL) as server:
        assert (await model(server)).version == 2
        folder = ("--model-repository", repository)  # stands for the volume's place in the container
        assert completed([sys.executable, *tool["entrypoint"][1:], "rollback", *folder]).returncode == 0
        await until(server, lambda description: description.version == 1)


async def test_a_start_with_a_version_that_is_not_there_names_those_that_are(
    start_server: StartServer, repository: Path
) -> None:
    with pytest.raises(ModelRejectedError, match=r"holds no version of 7, only 1: name one of them") as raised:
        async with start_server(model_repository=repository, model_version=VersionPolicy(versions=(7,))):
            pass
    assert "make train" not in str(raised.value)
