"""Reserves the ports that all workers, and all listeners of each worker, share; or the paths of Unix sockets."""

import errno
import hashlib
import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from serving.config import Config
from serving.errors import ConfigError
from serving.setting_values import UNIX, is_unix

ANY_IPV6 = "::"
PROBE_SECONDS = 1.0  # for a connection to a Unix socket whose server may have died


class ReservedPort:
    """A port that is held until close(), by a socket that never listens; servers bind the port as well.

    All set SO_REUSEPORT. Without the checks and the holder, a second program that also sets it would silently get a
    share of the calls.
    """

    def __init__(self, host: str, port: int, setting: str) -> None:
        """Reserves `port` (0: any free one) on `host`. `setting`: where it comes from, such as grpc_port.

        Raises ConfigError when another program has the port, or `host` is none of this machine; OSError where the
        process may open no more files.
        """
        self._sockets: list[socket.socket] = []
        try:
            family, kind, protocol, _, bound = _resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"host {host}: {error}; another: --host") from error
        try:
            if port:  # port 0 is chosen by the kernel, and is free
                self._sockets += _locked(host, port)
                _check_free(family, kind, protocol, bound)
            self._sockets.append(bind_shared(host, port))
        except OSError as error:
            self.close()
            if error.errno == errno.EMFILE:  # another port would not help
                raise
            flag = "--" + setting.replace("_", "-")
            raise ConfigError(f"{setting} {port} on {host}: {error.strerror}; another: {flag}") from error
        self.port = int(self._sockets[-1].getsockname()[1])

    def __enter__(self) -> "ReservedPort":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the port back."""
        for each in self._sockets:
            each.close()


class ReservedPath:
    """A path for a Unix socket that is held until close(), which removes the socket's file."""

    def __init__(self, host: str) -> None:
        """Reserves the path of `host`, unix:PATH, and removes the socket of a server that has died.

        Raises ConfigError when somebody listens there, or no socket can be made there; OSError where the process may
        open no more files.
        """
        self._path = Path(host.removeprefix(UNIX))
        self._locks: list[socket.socket] = []
        try:
            self._locks += _locked(str(self._path.resolve()), 0)
            _remove_stale(self._path)
            bind_shared(host, 0).close()  # gRPC would only say that it cannot
            self._path.unlink()
        except OSError as error:
            for lock in self._locks:
                lock.close()
            if error.errno == errno.EMFILE:  # another path would not help
                raise
            raise ConfigError(f"host {host}: {error.strerror or error}; another: --host") from error

    def __enter__(self) -> "ReservedPath":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the file and gives the path back."""
        self._path.unlink(missing_ok=True)  # gRPC removes its own
        for lock in self._locks:
            lock.close()


class ReservedPorts:
    """Ports of a service, held until close(): `grpc`, `http`, and `metrics`, that of /metrics."""

    def __init__(self, config: Config) -> None:
        """Reserves the ports of the configuration. Raises ConfigError when another program has one."""
        with ExitStack() as stack:  # gives back what has been reserved if a later one fails
            self.grpc = _reserve(stack, config.host, config.grpc_port, "grpc_port")
            self.http = self.metrics = _reserve(stack, *config.http_address, "http_port")
            if at := config.metrics_at:
                self.metrics = _reserve(stack, *at, "metrics_address")
            self._stack = stack.pop_all()

    def of(self, config: Config) -> Config:
        """Returns the configuration with these ports where it leaves the choice."""
        at = config.metrics_at
        return replace(
            config,
            grpc_port=self.grpc,
            http_port=self.http,
            metrics_address=address(at[0], self.metrics) if at else "",
        )

    def close(self) -> None:
        """Gives the ports back."""
        self._stack.close()


def bind_shared(host: str, port: int) -> socket.socket:
    """Returns a socket bound to `port` (0: any free one) that shares it with others. Raises OSError.

    A Unix socket is not shared: its path must be free.
    """
    if is_unix(host):
        alone = socket.socket(socket.AF_UNIX)
        try:
            alone.bind(host.removeprefix(UNIX))
        except OSError:
            alone.close()
            raise
        return alone
    family, kind, protocol, _, bound = _resolve(host, port)
    sharing = socket.socket(family, kind, protocol)
    try:
        if host == ANY_IPV6:  # every interface, IPv4 too, as gRPC binds it
            sharing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free
        sharing.bind(bound)
    except OSError:
        sharing.close()
        raise
    return sharing


def address(host: str, port: int) -> str:
    """Formats HOST:PORT, an IPv6 host in brackets; of a Unix socket unix:PATH."""
    if is_unix(host):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reserve(stack: ExitStack, host: str, port: int, setting: str) -> int:
    """Reserves a port or a path until `stack` closes. Returns the port; 0 for a path."""
    if is_unix(host):
        stack.enter_context(ReservedPath(host))
        return 0
    return stack.enter_context(ReservedPort(host, port, setting)).port


def _resolve(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]


def _locked(host: str, port: int) -> list[socket.socket]:
    """Returns a socket whose name only one process can have, so that of two that begin together one is refused."""
    if sys.platform != "linux":  # names without a file are Linux's
        return []
    name = hashlib.sha256(f"{host} {port}".encode(errors="surrogateescape")).hexdigest()  # a name has 107 bytes at most
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0mnist-digits {name}")
    except OSError:
        lock.close()
        raise
    return [lock]


def _check_free(family: int, kind: int, protocol: int, bound: tuple[object, ...]) -> None:
    """Raises OSError when another program listens on the port, even one that has set SO_REUSEPORT."""
    with socket.socket(family, kind, protocol) as probe:
        # Without SO_REUSEPORT, so that binding fails where anybody listens. A bound socket that does not listen yet
        # goes unnoticed (Linux allows that with SO_REUSEADDR): of our own the lock knows.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(bound)


def _remove_stale(path: Path) -> None:
    """Removes a socket on which nobody listens. Raises OSError where somebody does, or the file is no socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:  # by a file, too
            if not path.is_socket():
                raise OSError(errno.EEXIST, "there is a file that is no socket") from None
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
