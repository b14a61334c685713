"""Requests of any bytes whatever get an answer that blames the caller, and the server goes on."""

from collections.abc import Iterator

import pytest

from tests.hostile.load import assert_unharmed, attacked
from tests.hostile.messages import limits, random_messages
from tests.hostile.server import ServerProcess, server_process, write_sturdy_version

pytestmark = pytest.mark.serial  # memory and time are measured

MESSAGES = 1500  # to each service
ROUNDS = 1
HONEST = {"OK", "DATA", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
HONEST.add("FAILED_PRECONDITION")  # of Explain: the tiny model has no layers that could be shown


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("sturdy")
    write_sturdy_version(root)
    with server_process(root) as running:
        yield running


@pytest.mark.parametrize(
    "service",
    [
        "mnist.v1.DigitClassifier",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    ],
)
async def test_no_message_is_answered_as_a_fault_of_the_server(service: str, server: ServerProcess) -> None:
    stacks = len(server.stacks_logged())
    report = await attacked(server, random_messages(service), MESSAGES)
    assert_unharmed(report)
    assert report.outcomes.total() >= MESSAGES
    assert set(report.outcomes) <= HONEST
    assert len(server.stacks_logged()) == stacks


async def test_every_field_of_every_request_may_be_at_any_limit(server: ServerProcess) -> None:
    stacks = len(server.stacks_logged())
    report = await attacked(server, limits, ROUNDS)
    assert_unharmed(report)
    assert report.outcomes.total() > 300
    assert set(report.outcomes) <= HONEST
    assert len(server.stacks_logged()) == stacks
