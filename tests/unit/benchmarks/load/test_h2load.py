"""Output and log of h2load are parsed; failures are not overlooked."""

from pathlib import Path

import pytest

from benchmarks.load.h2load import RequestCounts, command, parse_log, parse_output
from benchmarks.load.measurement import MANY_CONNECTIONS, Load
from benchmarks.protocols.open_inference import open_inference
from benchmarks.protocols.peer_contracts import raw_http
from benchmarks.protocols.protocol import Protocol

OUTPUT = """
finished in 2.00s, 25.00 req/s, 7.26KB/s
requests: 50 total, 58 started, 50 done, 13 succeeded, 37 failed, 2 errored, 0 timeout
status codes: 13 2xx, 1 3xx, 0 4xx, 36 5xx
traffic: 14.53KB (14876) total, 6.90KB (7063) headers (space savings 0.00%), 5.11KB (5234) data
                     min         max         mean         sd        +/- sd
time for request:   142.24ms    337.85ms    301.78ms     33.95ms    82.00%
"""


def test_the_summary_is_read() -> None:
    assert parse_output(OUTPUT) == RequestCounts(done=50, failed=37 + 2 + 1, data_bytes=5234)


def test_output_without_a_summary_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no result"):
        parse_output("h2load: command line error")


def test_latencies_are_milliseconds_in_ascending_order() -> None:
    assert parse_log("1700\t200\t2500\n1701\t200\t500\n") == [0.5, 2.5]


def test_a_status_other_than_200_is_refused() -> None:
    with pytest.raises(RuntimeError, match="503"):
        parse_log("1700\t200\t2500\n1701\t503\t500\n")


@pytest.mark.parametrize(
    ("protocol", "load", "options"),
    [
        (open_inference(), Load(1, 1), ["--clients=1", "--max-concurrent-streams=1"]),
        (open_inference(), Load(32, 1), ["--clients=8", "--max-concurrent-streams=4"]),
        (open_inference(), MANY_CONNECTIONS, ["--clients=100", "--max-concurrent-streams=1"]),
        (raw_http("/read"), Load(128, 1), ["--clients=128", "--h1"]),
    ],
)
def test_requests_are_spread_over_connections(protocol: Protocol, load: Load, options: list[str]) -> None:
    line = command(protocol, 50051, load, 2.0, Path("body"), Path("log"))
    assert set(options) < set(line)
    assert line[0] == "h2load"
    assert line[-1] == f"http://127.0.0.1:50051{protocol.path}"
