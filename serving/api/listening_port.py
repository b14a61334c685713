"""Reserves the gRPC port that all workers, and all listeners of each worker, share."""

import socket

from serving.errors import ConfigError


def reserve_port(host: str, port: int) -> socket.socket:
    """Returns a socket that holds `port` (0: any free one) on `host` and never listens; servers bind the port as well.

    All set SO_REUSEPORT. Without the check and the holder, a second program that also sets it would silently get a
    share of the calls. Raises ConfigError when another program has the port.
    """
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host {host}: {error}; another: --host") from error
    holder = socket.socket(family, kind, protocol)
    try:
        if port:  # port 0 is chosen by the kernel, and is free
            _check_free(family, kind, protocol, bound)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free
        holder.bind(bound)
    except OSError as error:
        holder.close()
        raise ConfigError(f"grpc_port {port} on {host}: {error.strerror}; another: --grpc-port") from error
    return holder


def address(host: str, port: int) -> str:
    """Formats HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(family: int, kind: int, protocol: int, bound: tuple[object, ...]) -> None:
    """Raises OSError when another program listens on the port, even one that has set SO_REUSEPORT."""
    with socket.socket(family, kind, protocol) as probe:
        # Without SO_REUSEPORT, so that binding fails where anybody listens. A bound socket that does not listen yet
        # goes unnoticed (Linux allows that with SO_REUSEADDR), and so does the short time between this probe and the
        # holder.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(bound)
