"""Our server with metrics that count nothing: what counting costs is the difference to the server as it is.

For one worker (`--workers 1`): several are processes of their own, which this does not reach.
"""

import sys

from serving.cli import main
from serving.metrics.counters import Count, Distribution
from serving.metrics.metrics import Metrics


def _nothing(*_: object) -> None:
    """In place of counting."""


if __name__ == "__main__":
    for counting, method in ((Count, "inc"), (Distribution, "observe"), (Metrics, "observe_batch")):
        setattr(counting, method, _nothing)
    sys.exit(main())
