"""The port that all workers, and all listeners of each, share: found free, then kept for them."""

import socket

from serving.errors import ConfigError


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds `port` (0: any free one) on `host` and never listens; servers bind beside it.

    They do so by SO_REUSEPORT. Without the holder a second program that sets it would silently share the calls. Raises
    ConfigError where another program has the port.
    """
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host {host}: {error}; another: --host") from error
    holder = socket.socket(family, kind, protocol)
    try:
        if port:
            _check_free(family, kind, protocol, bound)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        holder.bind(bound)
    except OSError as error:
        holder.close()
        raise ConfigError(f"grpc_port {port} on {host}: {error.strerror}; another: --grpc-port") from error
    return holder


def address(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(family: int, kind: int, protocol: int, bound: tuple[object, ...]) -> None:
    """Raises OSError where another program listens, be it with SO_REUSEPORT."""
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(bound)
