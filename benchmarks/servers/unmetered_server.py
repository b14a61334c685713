"""Our server with metrics that count nothing: the difference from our server as it is, is the cost of metrics.

Only for `--workers 1`: several workers are processes of their own, where this module is not loaded.
"""

import sys

from serving.cli import main
from serving.metrics.counters import CounterSeries, HistogramSeries
from serving.metrics.metrics import Metrics


def _nothing(*_: object) -> None:
    """Replaces a method that counts."""


if __name__ == "__main__":
    for counting, method in ((CounterSeries, "inc"), (HistogramSeries, "observe"), (Metrics, "observe_batch")):
        setattr(counting, method, _nothing)
    sys.exit(main())
