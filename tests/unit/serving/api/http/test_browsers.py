"""Which requests the guard passes on, for any host, origin and method."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.http.browsers import BrowserGuard

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
LOOPBACK_NAMES = ["localhost", "LOCALHOST", "localhost.", "page.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "named"]
STRANGERS = ["evil.example", "localhost.evil.example", "notlocalhost", "10.0.0.5", "[fe80::1]", "127.0.0.1.nip.io", "["]
PORTS = st.sampled_from(["", ":80", ":8080"])
CHANGING = st.sampled_from(["POST", "PUT", "DELETE", "PATCH"])


def status(guard: BrowserGuard, method: str, **headers: str) -> int:
    """Status of a refusal; 0: the request was passed on."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a request is refused by its head alone")

    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    asyncio.run(guard({"type": "http", "method": method, "headers": named}, receive, send))
    return int(sent[0]["status"]) if sent else 0


async def passed_on(*_: object) -> None:
    """An application that sends nothing."""


def guard(host: str = "127.0.0.1", *origins: str) -> BrowserGuard:
    return BrowserGuard(passed_on, host, ["named"], origins)


@given(bound=st.sampled_from(LOOPBACK), port=PORTS, method=st.sampled_from(["GET", "POST"]))
@pytest.mark.parametrize(("hosts", "refused"), [(LOOPBACK_NAMES, 0), (STRANGERS, 421)])
def test_on_loopback_only_names_of_loopback_and_of_the_setting_are_answered(
    hosts: list[str], refused: int, bound: str, port: str, method: str
) -> None:
    for host in hosts:
        assert status(guard(bound), method, host=host + port) == refused, host


@given(
    host=st.text(st.characters(max_codepoint=255), max_size=30), bound=st.sampled_from(["0.0.0.0", "::", "10.0.0.5"])
)
def test_elsewhere_any_host_is_answered(host: str, bound: str) -> None:
    """Probes and scrapers use a pod's address, callers the name of a Service."""
    assert status(guard(bound), "GET", host=host) == 0


@given(host=st.text(st.characters(max_codepoint=255), max_size=30), method=CHANGING)
def test_no_host_raises(host: str, method: str) -> None:
    assert status(guard(), method, host=host, origin=host) in (0, 403, 421)


def test_a_request_without_a_host_is_answered() -> None:
    assert status(guard(), "GET") == 0


@given(bound=st.sampled_from([*LOOPBACK, "0.0.0.0"]), method=CHANGING)
@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, 0),
        ({"origin": "http://localhost:8080"}, 0),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 0),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site", "origin": "http://localhost:8080"}, 403),
        ({"sec_fetch_site": "same-origin", "origin": "https://digits.example"}, 0),
        ({"sec_fetch_site": "none"}, 0),
        ({"sec_fetch_site": "cross-site", "origin": "https://page.example"}, 0),
    ],
)
def test_what_changes_something_is_refused_to_pages_of_other_origins(
    headers: dict[str, str], refused: int, bound: str, method: str
) -> None:
    assert status(guard(bound, "https://page.example"), method, host="localhost:8080", **headers) == refused
    for safe in ("GET", "HEAD", "OPTIONS"):
        assert status(guard(bound), safe, host="localhost:8080", **headers) == 0


@given(origin=st.text(st.characters(max_codepoint=255), max_size=30), method=CHANGING)
def test_any_origin_may_call_where_the_setting_says_so(origin: str, method: str) -> None:
    assert status(guard("127.0.0.1", "*"), method, host="localhost", origin=origin) == 0
