"""All processes of a server are found, measured, suspended, resumed and ended, and no others."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.system.process_tree import ProcessTree, kill, stop

# Each process prints its name and pid, then lives until standard input is closed.
FAMILY = """
import os

def live(name):
    os.write(1, b"%s %d\\n" % (name, os.getpid()))  # at once, so that lines do not mix
    os.read(0, 1)
    os._exit(0)

if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        live(b"grandchild with a session of its own")
    live(b"child")
if (parent := os.fork()) == 0:
    if os.fork() == 0:
        live(b"orphan")
    os._exit(0)
os.waitpid(parent, 0)
live(b"root")
"""
Family = tuple["subprocess.Popen[str]", dict[str, int]]  # the root, and all pids by name


@pytest.fixture
def family() -> Iterator[Family]:
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        lines = [process.stdout.readline().rsplit(maxsplit=1) for _ in range(4)]
        yield process, {name: int(pid) for name, pid in lines}
    finally:
        kill(ProcessTree(process.pid).processes())
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_descendants_of_any_session_and_orphans_of_the_session_belong_to_the_server(family: Family) -> None:
    root, pids = family
    found = [process.pid for process in ProcessTree(root.pid).processes()]
    assert sorted(found) == sorted(pids.values())
    assert found.index(pids["root"]) < found.index(pids["child"])
    assert found.index(pids["child"]) < found.index(pids["grandchild with a session of its own"])


def test_memory_and_time_are_of_all_processes(family: Family) -> None:
    root, pids = family
    tree = ProcessTree(root.pid)
    alone = psutil.Process(root.pid)
    assert tree.cpu_seconds() >= alone.cpu_times().user + alone.cpu_times().system
    assert tree.memory_bytes() > len(pids) * 2**18


def test_suspended_processes_stand_still_until_they_are_resumed(family: Family) -> None:
    root, _ = family
    tree = ProcessTree(root.pid)
    tree.suspend()
    _, status = os.waitpid(root.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    tree.resume()
    _, status = os.waitpid(root.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)


def test_stopping_a_server_ends_all_its_processes_even_if_they_are_suspended(family: Family) -> None:
    root, pids = family
    tree = ProcessTree(root.pid)
    members = tree.processes()
    tree.suspend()
    stop(root)
    assert len(members) == len(pids)
    _, alive = psutil.wait_procs(members, timeout=10)  # until init has reaped the orphans
    assert alive == []


def test_a_server_that_has_ended_has_no_processes() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    tree = ProcessTree(process.pid)
    assert (tree.processes(), tree.cpu_seconds(), tree.memory_bytes()) == ([], 0, 0)
