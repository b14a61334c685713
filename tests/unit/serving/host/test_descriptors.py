"""The limit on descriptors is raised as far as it may be, and connections leave a quarter of it to the rest."""

import sys

import pytest

from serving.host import descriptors
from tests.support.processes import completed

PROGRAM = "from serving.host import descriptors as each; each.raise_limit(); print(each.limit())"


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [(100, 256, 256), (256, 256, 256), (1024, 9000, descriptors.MOST), (9000, 9000, 9000)],
)
def test_the_soft_limit_is_raised_within_bounds(soft: int, hard: int, raised: int) -> None:
    done = completed(
        ["sh", "-c", f'ulimit -S -n {soft}; ulimit -H -n {hard}; exec "$@"', "sh", sys.executable, "-c", PROGRAM]
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(raised)), done.stderr


def test_connections_leave_a_quarter_free() -> None:
    assert descriptors.grpc_connections() + descriptors.http_connections() <= descriptors.limit() * 3 // 4
