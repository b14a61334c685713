"""What h2load prints and logs, read."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """Requests that ended within the time, those of them that failed, and the bytes of all bodies that came."""

    done: int
    failed: int
    data_bytes: int


def parse_output(output: str) -> Answered:
    """The summary. Raises RuntimeError where it is none."""
    requests = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    codes = re.search(r"status codes: \d+ 2xx, (\d+) 3xx", output)
    traffic = re.search(r"traffic: .*, \S+ \((\d+)\) data", output)
    if not (requests and codes and traffic):
        raise RuntimeError(f"h2load printed no result:\n{output}")
    failed = int(requests[3]) + int(requests[4]) + int(codes[1])  # for h2load a redirection is a success
    return Answered(int(requests[1]), failed, int(traffic[1]))


def latencies_ms(log: str) -> list[float]:
    """Milliseconds of each request, ascending. Raises RuntimeError for a status other than 200 among them."""
    rows = [line.split("\t") for line in log.splitlines()]
    others = {status for _, status, _ in rows} - {"200"}
    if others:
        raise RuntimeError(f"h2load logged the statuses {sorted(others)}")
    return sorted(int(microseconds) / 1000 for _, _, microseconds in rows)
