"""HTTP/2 that means no good costs the server little, and others nothing."""

from collections.abc import Iterator

import pytest

from tests.hostile.floods import FLOODS, garbage
from tests.hostile.load import assert_unharmed, attacked
from tests.hostile.server import ServerProcess, server_process, write_sturdy_version

pytestmark = pytest.mark.serial  # memory and time are measured

PIECES = 1000  # of each flood
CONNECTIONS = 140


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("sturdy")
    write_sturdy_version(root)
    with server_process(root) as running:
        yield running


@pytest.mark.parametrize("name", FLOODS)
async def test_flood_of_frames_harms_no_other_call(name: str, server: ServerProcess) -> None:
    report = await attacked(server, FLOODS[name], PIECES)
    assert_unharmed(report)


async def test_connections_that_speak_something_else_are_dropped(server: ServerProcess) -> None:
    report = await attacked(server, garbage, CONNECTIONS)
    assert_unharmed(report)
    assert report.outcomes.total() == CONNECTIONS
