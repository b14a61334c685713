"""Measures memory of our server with one worker, minute by minute, under calls of all kinds, with a verdict.

Batches change their size: ONNX Runtime's arena has grown without bound under them (microsoft/onnxruntime#11627). Some
callers cancel, hang up or have deadlines that are too short: grpc.aio keeps memory of their calls (grpc/grpc#43360).
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.load.mixed_calls import CALLERS, MixedCalls
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import RunningServer, run_our_server
from benchmarks.system.memory_record import MemoryRecord, MemorySample
from benchmarks.system.this_run import about_this_run

ALLOWED_MEBIBYTES_AN_HOUR = 1.0


def main(arguments: Sequence[str]) -> None:
    """Prints a line for each sample, writes all as JSON; exits with status 1 if memory grows."""
    options = _parser().parse_args(arguments)
    record = MemoryRecord(about_this_run({"minutes": options.minutes, "without": options.without}))
    with run_our_server(options.runs, options.model_repository) as server:
        asyncio.run(soak(server, record, options.minutes * 60, options.sample_seconds, tuple(options.without), _show))
    for outcome, count in sorted(record.outcomes.items()):
        print(f"{count:12,} {outcome}")
    path = options.runs.parent / "soak.json"
    record.write(path)
    print(f"written: {path}")
    hour, call = record.growth_an_hour(), record.growth_a_call()
    verdict = hour.verdict(ALLOWED_MEBIBYTES_AN_HOUR)
    print(f"{call.slope:+.2f} +- {call.uncertainty:.2f} bytes a call")
    print(
        f"{hour.slope:+.2f} +- {hour.uncertainty:.2f} MiB an hour over {len(record.settled())} samples,"
        f" allowed {ALLOWED_MEBIBYTES_AN_HOUR:g}: {verdict}"
    )
    sys.exit(verdict == "it grows")


def _show(sample: MemorySample) -> None:
    print(f"{sample.seconds / 60:6.1f} min {sample.calls:12,} calls {sample.mebibytes:8.1f} MiB", flush=True)


async def soak(
    server: RunningServer,
    record: MemoryRecord,
    seconds: float,
    sample_seconds: float,
    without: tuple[str, ...],
    show: Callable[[MemorySample], None],
) -> None:
    """Loads the server and adds samples to `record`: the first before any call, one at least every `sample_seconds`."""
    calls = MixedCalls(server.port, sample_digits())
    record.outcomes = calls.outcomes
    began = time.monotonic()

    def take_sample() -> None:
        memory = server.processes.memory_bytes() / 2**20
        record.samples.append(MemorySample(time.monotonic() - began, calls.outcomes.total(), memory))
        show(record.samples[-1])

    take_sample()
    callers = calls.start(without=without)
    while (left := began + seconds - time.monotonic()) > 0:
        finished, _ = await asyncio.wait(
            callers, timeout=min(left, sample_seconds), return_when=asyncio.FIRST_COMPLETED
        )
        for caller in finished:
            caller.result()  # a caller ends only with an error, which ends the soak
        take_sample()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    shown = "(default: %(default)s)"
    parser.add_argument("--minutes", type=float, default=60, help=f"length of the soak {shown}")
    parser.add_argument("--sample-seconds", type=float, default=60, help=f"time between samples {shown}")
    parser.add_argument("--without", nargs="+", default=[], choices=CALLERS, help="kinds of callers that stay away")
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help=shown)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help=f"folder for generated files {shown}")
    return parser
