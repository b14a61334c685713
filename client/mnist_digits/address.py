"""The server's address, in the forms that gRPC names targets: what is refused before any connection, what is loopback.

https://github.com/grpc/grpc/blob/master/doc/naming.md lists the forms.
"""

import ipaddress
import re

_OF_HOSTS = ("dns", "ipv4", "ipv6")
_OTHERS = ("unix", "unix-abstract", "vsock", "xds", "google-c2p")  # gRPC's own, with no HOST:PORT behind the scheme
_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\s\[\]/]+)\]|(?P<name>[^\s\[\]/:,@]+)):(?P<port>\d{1,5})")
_FORMS = "HOST:PORT as in 127.0.0.1:50051 or [::1]:50051, or unix:PATH"


def check_address(address: str) -> None:
    """Raises ValueError, with the right form, for an address that gRPC would not understand or would guess about.

    gRPC takes http://host:50051 for the name of a host, and port 443 where there is none.
    """
    scheme, rest = _divided(address)
    if scheme in _OTHERS and rest:
        return
    if scheme not in _OTHERS and all(map(_is_host_port, _hosts(scheme, rest))):
        return
    raise ValueError(f"expected the address {_FORMS}, got {address!r}{_hint(address)}")


def is_loopback(address: str) -> bool:
    """Returns True for an address of this machine alone: 127.0.0.0/8, ::1, localhost or a Unix socket."""
    scheme, rest = _divided(address)
    if scheme in _OTHERS:
        return scheme.startswith("unix")
    return all(_is_loopback_host(host) for host in _hosts(scheme, rest))


def _divided(address: str) -> tuple[str, str]:
    """Returns gRPC's scheme, "" without one, and what follows it."""
    scheme, colon, rest = address.partition(":")
    return (scheme, rest) if colon and scheme in (*_OF_HOSTS, *_OTHERS) else ("", address)


def _hosts(scheme: str, rest: str) -> list[str]:
    """Returns each HOST:PORT. Only ipv4: and ipv6: may have several; dns://AUTHORITY/ names the name server."""
    if scheme and rest.startswith("//"):
        rest = rest[2:].partition("/")[2]
    return rest.split(",") if scheme in ("ipv4", "ipv6") else [rest]


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return found is not None and 0 < int(found["port"]) < 2**16


def _is_loopback_host(host_port: str) -> bool:
    found = _HOST_PORT.fullmatch(host_port)
    host = (found["ipv6"] or found["name"]) if found else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


def _hint(address: str) -> str:
    """Suggests what was probably meant; "" where nothing is obvious."""
    url = re.fullmatch(r"\w+://([^/]+)/*", address)
    host = url[1] if url else address
    if _is_host_port(host):
        return f": write {host}"
    if host.isdecimal():
        return f": write 127.0.0.1:{host}"
    if re.fullmatch(r"(dns:(//[^/]*/)?)?[\w.-]+", host):
        return f": add the port, as in {host}:50051"
    if re.fullmatch(r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", host):
        return ": an IPv6 address stands in brackets, as in [::1]:50051"
    return ""
