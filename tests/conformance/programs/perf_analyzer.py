"""Triton's perf_analyzer: it runs to its end, with results, or its own words are the error."""

import subprocess
import sys

from tests.conformance.programs.calls import Call, report

GRPC, HTTP, *TOOL = sys.argv[1:]
# A few short windows, which need not agree: what counts is that it measures at all.
SHORT = ("--measurement-mode", "count_windows", "--measurement-request-count", "10", "-s", "900", "--max-trials", "5")
SECONDS = 60
TRIALS = {
    "": (),
    ", -b 4": ("-b", "4"),
    ", --async": ("--async", "--concurrency-range", "2"),
    ", --request-rate-range": ("--request-rate-range", "50"),
    ", shared memory": ("--shared-memory", "system"),
}
STREAMING = ("--async", "--streaming")


def run(protocol: str, address: str, *options: str) -> str:
    command = [*TOOL, "-m", "mnist", "-i", protocol, "-u", address, *SHORT, *options]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=SECONDS
    )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    words = " ".join(lines[-3:])
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {words}")
    return "measured" if "throughput: " in lines[-1] and ", latency " in lines[-1] else words


def trial(protocol: str, address: str, options: tuple[str, ...]) -> Call:
    return lambda: run(protocol, address, *options), "measured"


if __name__ == "__main__":
    calls = {
        f"{protocol}{name}": trial(protocol, address, options)
        for protocol, address in (("grpc", GRPC), ("http", HTTP))
        for name, options in TRIALS.items()
    }
    report(calls | {"grpc, --streaming": trial("grpc", GRPC, STREAMING)})
