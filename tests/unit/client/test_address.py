"""Addresses: what gRPC understands is taken, what it would guess about is refused, and loopback is recognised."""

import re

import pytest

from mnist_digits import AsyncDigitClient, DigitClient
from mnist_digits.address import check_address, is_loopback

LOOPBACK = [
    "127.0.0.1:50051",
    "127.255.0.1:1",
    "localhost:65535",
    "LocalHost:50051",
    "[::1]:50051",
    "dns:localhost:50051",
    "dns:///localhost:50051",
    "dns://8.8.8.8/127.0.0.1:50051",
    "ipv4:127.0.0.1:50051,127.0.0.2:50051",
    "ipv6:[::1]:50051",
    "unix:/run/digits.sock",
    "unix:digits.sock",
    "unix:///run/digits.sock",
    "unix-abstract:digits",
]
ELSEWHERE = [
    "digits.example:50051",
    "10.0.0.1:443",
    "128.0.0.1:50051",
    "[2001:db8::1]:50051",
    "[fe80::1%eth0]:50051",
    "localhost.example:50051",
    "dns:///digits.example:50051",
    "dns://127.0.0.1/digits.example:50051",  # the name server is on this machine, the service is not
    "ipv4:127.0.0.1:50051,10.0.0.1:50051",
    "ipv6:[2001:db8::1]:50051",
    "xds:///digits",
]


@pytest.mark.parametrize("address", [*LOOPBACK, *ELSEWHERE])
def test_every_form_of_grpc_is_taken(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(("addresses", "expected"), [(LOOPBACK, True), (ELSEWHERE, False)], ids=["here", "elsewhere"])
def test_loopback_is_this_machine_alone(addresses: list[str], expected: bool) -> None:
    assert [is_loopback(address) for address in addresses] == [expected] * len(addresses)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("http://localhost:50051", ": write localhost:50051"),
        ("https://digits.example:443/", ": write digits.example:443"),
        ("grpc://[::1]:50051", ": write [::1]:50051"),
        ("HTTP://localhost", ": add the port, as in localhost:50051"),
        ("localhost", ": add the port, as in localhost:50051"),
        ("127.0.0.1", ": add the port, as in 127.0.0.1:50051"),
        ("dns:///digits.example", ": add the port, as in dns:///digits.example:50051"),
        ("ipv4:127.0.0.1", ""),
        ("ipv4:127.0.0.1:50051,10.0.0.1", ""),
        ("ipv6:::1", ""),
        ("::1", ": an IPv6 address stands in brackets, as in [::1]:50051"),
        ("::1:50051", ": an IPv6 address stands in brackets, as in [::1]:50051"),
        ("[::1]", ""),
        ("localhost:", ""),
        (":50051", ""),
        ("50051", ": write 127.0.0.1:50051"),
        ("localhost:0", ""),
        ("localhost:65536", ""),
        ("localhost:grpc", ""),
        ("localhost:50051/v1", ""),
        ("localhost:50051\n", ""),
        ("user@localhost:50051", ""),
        ("unix:", ""),
        ("", ""),
    ],
)
async def test_any_other_address_is_refused_by_both_clients_with_the_right_form(address: str, hint: str) -> None:
    expected = (
        f"expected the address HOST:PORT as in 127.0.0.1:50051 or [::1]:50051, or unix:PATH, got {address!r}{hint}"
    )
    for client in (DigitClient, AsyncDigitClient):
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
            client(address)
