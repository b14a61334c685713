"""File descriptors that this process may have: the limit, raised as far as it may be, and the shares of connections.

Each connection takes one. gRPC's may take a half of the limit and HTTP's a quarter. The last quarter stays free, for
model files, for the sockets between processes, and for what a library opens.
"""

from contextlib import suppress
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

MOST = 8192  # more connections than one process can serve well; each takes memory, also those that say nothing


def raise_limit() -> None:
    """Raises the soft limit to the hard one, or to MOST. Processes that this one starts inherit it."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    wanted = MOST if hard == RLIM_INFINITY else min(hard, MOST)
    if soft != RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a system that allows less than it says
            setrlimit(RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """Returns how many descriptors this process may have; MOST where there is no limit."""
    soft = getrlimit(RLIMIT_NOFILE)[0]
    return MOST if soft == RLIM_INFINITY else soft


def grpc_connections() -> int:
    """Returns how many connections gRPC may have."""
    return limit() // 2


def http_connections() -> int:
    """Returns how many connections HTTP may have."""
    return limit() // 4
