"""What Kubernetes does to servers behind a headless Service loses no call, and new ones get their share."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_network import in_own_network, why_not, write_hosts
from tests.support.processes import completed, without_settings

pytestmark = pytest.mark.serial
TRITON = Path(sys.prefix) / "tritonclient/bin/python"
SHORT_AGE_SECONDS, LONG_AGE_SECONDS = 1, 60  # the latter as in deploy/kubernetes
SHORTEST_LOOK_UP_SECONDS = 5  # between two look-ups of a name by our client
MORE_SECONDS = 5  # for the look-up, the connection and the call

Seen = dict[str, Any]


def play(folder: Path, age_seconds: float, *arguments: str | Path) -> Seen:
    """What the clients saw (tests.e2e.headless_service)."""
    if reason := why_not():
        pytest.skip(f"no network of its own: {reason}")
    hosts = folder / "hosts"
    write_hosts(hosts, "nobody", [])
    program = [sys.executable, "-m", "tests.e2e.headless_service", hosts, str(age_seconds), *arguments]
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}  # they are not in that network
    variables = {name: text for name, text in without_settings().items() if name not in proxies}
    done = completed(in_own_network(hosts, *program), seconds=400, env=variables | {"GRPC_DNS_RESOLVER": "native"})
    assert done.returncode == 0, done.stderr
    seen: Seen = json.loads(done.stdout)
    print(json.dumps(seen))
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return play(tmp_path_factory.mktemp("network"), SHORT_AGE_SECONDS)


@pytest.fixture(scope="module")
def seen_at_length(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    assert TRITON.exists(), f"{TRITON} is missing: `make .venv/tritonclient.installed` makes it"
    return play(tmp_path_factory.mktemp("network"), LONG_AGE_SECONDS, TRITON)


@pytest.fixture(params=["seen", pytest.param("seen_at_length", marks=pytest.mark.long)])
def either(request: pytest.FixtureRequest) -> Seen:
    found: Seen = request.getfixturevalue(request.param)
    return found


def test_no_call_fails_while_all_are_replaced_in_turn_and_while_one_is_killed(either: Seen) -> None:
    assert (either["failed"], either["wrong"]) == ({}, 0)
    assert [each["status"] for each in either["replaced"]] == [0] * 3
    assert min(either["calls while replaced"], either["calls while killed"]) >= 600


def test_calls_are_spread_evenly_over_all_that_the_name_stands_for(either: Seen) -> None:
    assert either["three"]["shares"] == pytest.approx([1] * 3, abs=0.1)


def test_a_new_server_is_called_once_a_connection_has_reached_its_age(seen: Seen) -> None:
    assert seen["added"] <= max(SHORT_AGE_SECONDS, SHORTEST_LOOK_UP_SECONDS) + MORE_SECONDS


@pytest.mark.long
def test_a_new_server_is_called_within_a_minute(seen_at_length: Seen) -> None:
    assert seen_at_length["added"] <= LONG_AGE_SECONDS + MORE_SECONDS


def test_a_new_server_has_its_equal_share_soon(either: Seen) -> None:
    assert either["balanced"]["shares"] == pytest.approx([1] * 4, abs=0.1)


@pytest.mark.long
def test_no_call_of_tritonclient_fails_while_all_are_replaced_in_turn(seen_at_length: Seen) -> None:
    outcomes = seen_at_length["tritonclient"]
    assert set(outcomes) == {"answered"}
    assert outcomes["answered"] >= 600
