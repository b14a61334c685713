"""`python -m serving tune`: measures the model on this host and picks its settings; `--tune` runs it before serving.

A process of its own: what measuring takes is gone before the server starts. The curve goes to standard error, for
people, and the settings that were picked to standard output, as JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from serving.commands.tuning import SIZES, Curve, Picked, pick, table
from serving.commands.tuning_record import Conditions, remember, remembered
from serving.config import Config, load_config
from serving.cpu import processor_name, usable_cpus, worker_count
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError
from serving.models.onnx_session import PIXELS, RUNTIME_VERSION, OnnxModel
from serving.models.repository import ModelRepository, ModelVersion, OpenModel

RECORD = "tuning.json"
MEASURING_SECONDS = 1.5  # of each candidate
LEAST_ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """0: picked; 1: no model could be measured; 2: a setting is wrong; 130: interrupted."""
    try:
        config = load_config(sys.argv[1:] if arguments is None else arguments)
        picked = tune(config)
    except KeyboardInterrupt:
        return 130
    except (ConfigError, ModelRejectedError, DeviceUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(json.dumps(asdict(picked)))
    return 0


def tune(config: Config) -> Picked:
    """The settings for this host, remembered beside the model or measured now and remembered.

    Raises ModelRejectedError or DeviceUnavailableError when the model cannot be run.
    """
    repository = ModelRepository(config.model_repository, config.model_name, config.model_public_key)
    refused: set[int] = set()
    while True:
        version = max(repository.wanted(config.model_version, refused), default=0)
        try:
            return _tune_version(config, repository, version)
        except ModelRejectedError as error:
            if not version:  # all were tried
                raise
            refused.add(version)
            print(f"version {version} is passed over: {error}", file=sys.stderr)


def _tune_version(config: Config, repository: ModelRepository, version: int) -> Picked:
    forms = repository.forms(version)
    asked = [config.precision] if config.precision != "auto" else list(forms)
    threads = [config.inference_threads] if config.inference_threads else _threads_to_try(config)
    conditions = Conditions(
        processor=processor_name(),
        usable_cpus=usable_cpus(),
        onnxruntime=RUNTIME_VERSION,
        device=config.device,
        graphs={precision: form.sha256 for precision, form in forms.items() if precision in asked},
        threads=threads,
        largest_batch=config.max_batch_size or SIZES[-1],
    )
    path = next(iter(forms.values())).folder / RECORD
    found = remembered(path, conditions)
    if found:
        print(f"{table(*found)} (remembered in {path})", file=sys.stderr)
        return found[1]
    curves = measure(_load(repository, version, config.device, asked, threads))
    picked = pick(curves, config.max_batch_size or SIZES[-1])
    print(table(curves, picked), file=sys.stderr)
    _remember(path, conditions, curves, picked)
    return picked


def measure(candidates: Sequence[tuple[str, int, ModelVersion]]) -> list[Curve]:
    """A curve for each precision, threads and model, all run in turn, round after round.

    What counts is the shortest time: whatever else the machine does can only add to it.
    """
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (20, 20))  # a margin, as digits have
    pixels = np.tile(image.reshape(PIXELS), (SIZES[-1], 1))
    shortest = [[float("inf")] * len(SIZES) for _ in candidates]
    ends = time.perf_counter() + MEASURING_SECONDS * len(candidates)
    rounds = 0
    while rounds < LEAST_ROUNDS or time.perf_counter() < ends:
        for (_, _, model), seconds in zip(candidates, shortest, strict=True):
            for index, size in enumerate(SIZES):
                model.run(pixels[:size])  # untimed: the one before left the caches full of other sizes
                began = time.perf_counter()
                model.run(pixels[:size])
                seconds[index] = min(seconds[index], time.perf_counter() - began)
        rounds += 1
    return [
        Curve(precision, threads, tuple(seconds))
        for (precision, threads, _), seconds in zip(candidates, shortest, strict=True)
    ]


def _load(
    repository: ModelRepository, version: int, device: str, precisions: Sequence[str], threads: Sequence[int]
) -> list[tuple[str, int, ModelVersion]]:
    """Every candidate that passes the model's checks here; raises what is wrong with the first when none does."""
    loaded: list[tuple[str, int, ModelVersion]] = []
    failures: list[ModelRejectedError] = []
    for precision in precisions:
        for count in threads:
            open_model = _opener(device, count)
            try:
                model = repository.load(version, open_model, SIZES[-1], precision)
            except ModelRejectedError as error:  # the int8 form on a processor where it rounds otherwise, say
                failures.append(error)
                print(f"not measured: {error}", file=sys.stderr)
            else:
                loaded.append((precision, count, model))
    if not loaded:
        raise failures[0]
    return loaded


def _opener(device: str, threads: int) -> OpenModel:
    return lambda graph: OnnxModel(graph, device, threads)


def _threads_to_try(config: Config) -> list[int]:
    """1, 2, 4 and so on, up to a worker's share of the processors."""
    workers = worker_count(config.workers, config.device)
    share = max(1, usable_cpus() // workers)
    return sorted({share, *(2**power for power in range(share.bit_length()))})


def _remember(path: Path, conditions: Conditions, curves: list[Curve], picked: Picked) -> None:
    try:
        remember(path, conditions, curves, picked)
    except OSError as error:
        print(f"not remembered, so the next start measures again: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
