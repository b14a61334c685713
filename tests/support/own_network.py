"""A network and a hosts file that no other program sees, for what a test starts: Linux namespaces, by `unshare`."""

import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from tests.support.processes import completed

_SET_FLAGS, _UP, _RUNNING = 0x8914, 0x1, 0x40  # SIOCSIFFLAGS and flags of an interface
# Processes have a namespace too: all of them end with `unshare`, whatever becomes of the one that started them.
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_AS_ROOT = () if os.geteuid() == 0 else ("--map-root-user",)
# Names come from the hosts file alone: a daemon that the machine may ask for them sees another file.
_MOUNT = """
mount --bind "$0" /etc/hosts && echo "hosts: files" > "$0.order" || exit
[ ! -e /etc/nsswitch.conf ] || mount --bind "$0.order" /etc/nsswitch.conf || exit
exec "$@"
"""
_HOSTS_BYTES = 1024


def why_not() -> str:
    """Returns why this machine allows no such namespaces, "" where it does."""
    try:
        done = completed([*_UNSHARE, *_AS_ROOT, "true"])
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return done.stderr.strip() if done.returncode else ""


def in_own_network(hosts: Path, *command: str | Path) -> list[str | Path]:
    """The command in namespaces of its own, with `hosts` as its /etc/hosts. It must call bring_up()."""
    return [*_UNSHARE, *_AS_ROOT, "sh", "-c", _MOUNT, hosts, *command]


def in_own_mounts(script: str, argument: Path) -> list[str | Path]:
    """Begins a command that runs in a mount namespace of its own, after `script`, whose $0 is `argument`."""
    return ["unshare", "--mount", *_AS_ROOT, "sh", "-c", script, argument]


def bring_up() -> None:
    """Turns the loopback interface on, with all its addresses 127.0.0.0/8."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", _UP | _RUNNING))


def write_hosts(hosts: Path, name: str, addresses: Iterable[str]) -> None:
    """Gives the name these addresses, in one write of the same length: the file is mounted, and may be being read."""
    lines = "".join(f"{address} {name}\n" for address in addresses)
    with hosts.open("r+b" if hosts.exists() else "wb", buffering=0) as file:
        file.write(lines.ljust(_HOSTS_BYTES, "\n").encode())
