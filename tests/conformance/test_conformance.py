"""What surrounds the clients: the list, the configurations of proxies, and the rows. The clients run by themselves."""

import re
from pathlib import Path

import pytest

from tests.conformance.clients import CLIENTS, Client
from tests.conformance.environments import without_addresses
from tests.conformance.report import document, rows_of
from tests.conformance.running import CONFIGURATIONS, PROXIES, Addresses, filled_in
from tests.support.processes import ROOT

PROGRAMS = Path(__file__).parent / "programs"
SHARED = {"__init__.py", "calls.py", "calls.cjs", "connect_digits.cjs"}
CLIENT = Client("a", "gRPC", "a_grpc", ("a",), "a", limits={"refused": "the server has none"})


def test_every_program_belongs_to_a_client() -> None:
    named = {each.program if each.is_javascript else f"{each.program}.py" for each in CLIENTS}
    assert named == {path.name for path in PROGRAMS.iterdir() if path.is_file()} - SHARED


def test_every_configuration_belongs_to_a_proxy_that_clients_go_through() -> None:
    assert {path.stem for path in CONFIGURATIONS.iterdir()} == {name.lower() for name in PROXIES}
    assert {each.through for each in CLIENTS} - {""} == set(PROXIES)


@pytest.mark.parametrize("path", sorted(CONFIGURATIONS.iterdir()), ids=lambda path: path.name)
def test_every_placeholder_of_a_configuration_is_filled_in(path: Path) -> None:
    text = filled_in(path.read_text(), Addresses("127.0.0.1:1", "127.0.0.1:2"), Addresses("127.0.0.1:3", "127.0.0.1:4"))
    code = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in code if re.search(r"@[A-Z_]+@", line)] == []
    assert {int(port) for port in re.findall(r"(?:127\.0\.0\.1:|port_value: )(\d+)", "\n".join(code))} == {1, 2, 3, 4}


def test_calls_that_work_share_a_row_and_only_a_failure_without_a_reason_counts() -> None:
    rows = rows_of(CLIENT, "1.0", {"live": "ok", "ready": "ok", "infer": "no | way", "refused": "not here"})
    assert [(row.call, row.is_failure) for row in rows] == [("live; ready", False), ("infer", True), ("refused", False)]
    assert "| a | 1.0 | gRPC | infer | fails: no \\| way |" in document(rows).splitlines()


def test_a_limit_that_is_none_any_more_counts_as_a_failure() -> None:
    [row] = rows_of(CLIENT, "1.0", {"refused": "ok"})
    assert row.is_failure


def test_messages_name_no_place_of_this_machine_and_no_registry() -> None:
    text = without_addresses(f"{ROOT}/a: https://some.where/simple and getaddrinfo packages.some-where.org failed")
    assert text == "a: … and getaddrinfo … failed"
