"""Measures memory of our server under batches of changing size, minute by minute, with a verdict.

ONNX Runtime's arena has grown without bound under varying batch sizes (microsoft/onnxruntime#11627): ours must not.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.protocols.protocol import Pixels
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import RunningServer, run_our_server
from benchmarks.system.memory import growth
from mnist_digits import AsyncDigitClient

CALLERS = 8
LARGEST_CALL = 256  # images
ALLOWED_MEBIBYTES_AN_HOUR = 1.0
SETTLING = 0.1  # share of the samples that is dropped at the start, while buffers grow to their size


def main(arguments: Sequence[str]) -> None:
    """Prints a line for each sample; exits with status 1 if memory grows."""
    options = _parser().parse_args(arguments)
    with run_our_server(options.runs, options.model_repository) as server:
        samples = asyncio.run(_soak(server, options.minutes * 60, options.sample_seconds))
    settled = samples[int(len(samples) * SETTLING) :]
    found = growth([hours for hours, _ in settled], [mebibytes for _, mebibytes in settled])
    print(
        f"{found.slope:+.2f} +- {found.uncertainty:.2f} MiB an hour over {len(settled)} samples,"
        f" allowed {ALLOWED_MEBIBYTES_AN_HOUR:g}: {found.verdict(ALLOWED_MEBIBYTES_AN_HOUR)}"
    )
    sys.exit(found.verdict(ALLOWED_MEBIBYTES_AN_HOUR) == "it grows")


async def _soak(server: RunningServer, seconds: float, sample_seconds: float) -> list[tuple[float, float]]:
    """Loads the server; returns samples of hours since the start and MiB (PSS) of all its processes."""
    pixels, chance = sample_digits(), random.Random(0)
    began = time.monotonic()
    samples = []
    async with AsyncDigitClient(f"127.0.0.1:{server.port}") as client:
        callers = [asyncio.create_task(_call_repeatedly(client, pixels, chance)) for _ in range(CALLERS)]
        while time.monotonic() - began < seconds:
            finished, _ = await asyncio.wait(callers, timeout=sample_seconds, return_when=asyncio.FIRST_COMPLETED)
            for caller in finished:
                caller.result()  # a caller ends only with an error, which ends the soak
            elapsed = time.monotonic() - began
            samples.append((elapsed / 3600, server.processes.memory_bytes() / 2**20))
            print(f"{elapsed / 60:6.1f} min {samples[-1][1]:8.1f} MiB", flush=True)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    return samples


async def _call_repeatedly(client: AsyncDigitClient, pixels: Pixels, chance: random.Random) -> None:
    while True:
        # Small calls and large ones are equally likely: every size up to the largest batch is run.
        size = int(2 ** chance.uniform(0, LARGEST_CALL.bit_length() - 1))
        await client.classify(list(pixels[:size]), timeout_seconds=60)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="length of the soak (default: %(default)s)")
    parser.add_argument("--sample-seconds", type=float, default=60, help="time between samples (default: %(default)s)")
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help="(default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser
