"""Bulk classification compared with plain ONNX Runtime in as many processes, and with the same job on a Ray cluster.

All classify the same rows of MNIST's digits, in rounds in turn. The time of bulk is from its summary: it includes
starting processes and loading the model, but not the audit. That of ONNX Runtime begins when its sessions are open.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.scripts.inference_time import Graph, repository_graphs
from benchmarks.system.this_run import about_this_run

DIGITS = Path(__file__).parents[2] / "tests/data/digits.npz"
BATCH_ROWS = 64


def main(arguments: Sequence[str]) -> None:
    """Prints the figures as JSON."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = _write_inputs(folder, options.rows)
        rates: dict[str, list[float]] = {"onnxruntime": []}
        for number in range(options.rounds):
            rates["onnxruntime"].append(_plain(options.processes, options.rows))
            for kind, path in inputs.items():
                where = {"here": ["--workers", str(options.processes)]}
                if options.ray:
                    where["ray"] = ["--ray", options.ray]
                for place, flags in where.items():
                    rate = _bulk(path, folder / f"{kind}-{place}-{number}", flags, options.rows)
                    rates.setdefault(f"{kind} {place}", []).append(rate)
    plain = median(rates["onnxruntime"])
    found = {
        name: {
            "rows a second": median(each),
            "from": min(each),
            "to": max(each),
            "to onnxruntime": median(each) / plain,
        }
        for name, each in rates.items()
    }
    print(json.dumps({**about_this_run(vars(options)), "rates": found}, indent=2))


def _write_inputs(folder: Path, rows: int) -> dict[str, Path]:
    import pyarrow
    from pyarrow import parquet

    with np.load(DIGITS) as digits:
        pixels = np.resize(digits["pixels"], (rows, 784))
    np.save(folder / "digits.npy", pixels)
    table = pyarrow.table({"pixels": pyarrow.array([row.tobytes() for row in pixels], pyarrow.binary(784))})
    parquet.write_table(table, folder / "digits.parquet", row_group_size=8192)
    return {"npy": folder / "digits.npy", "parquet": folder / "digits.parquet"}


def _bulk(path: Path, output: Path, flags: Sequence[str], rows: int) -> float:
    """Returns the rows a second of the command, without the audit."""
    command = [sys.executable, "-m", "serving", "bulk", str(path), str(output), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    summary = json.loads(done.stdout)
    if summary["different_ids"] != rows:
        raise SystemExit(f"error: {summary['different_ids']} of {rows} ids")
    return float(rows / summary["seconds"])


def _plain(processes: int, rows: int) -> float:
    """Returns the rows a second of ONNX Runtime alone, once its sessions are open."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    batches = rows // processes // BATCH_ROWS
    running = [context.Process(target=_run, args=(barrier, batches)) for _ in range(processes)]
    for process in running:
        process.start()
    barrier.wait()
    began = time.perf_counter()
    for process in running:
        process.join()
    return batches * BATCH_ROWS * processes / (time.perf_counter() - began)


def _run(barrier: Barrier, batches: int) -> None:
    graph = next(content for name, content in repository_graphs(Path("models")).items() if name.startswith("mnist/"))
    session = Graph(graph, BATCH_ROWS)
    session.seconds(10)
    barrier.wait()
    session.seconds(batches)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks bulk", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="(default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--ray", help="address of a Ray cluster to measure, too")
    return parser
