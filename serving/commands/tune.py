"""`python -m serving tune`: measures the model on this host and picks its inference settings; `--tune` runs it.

`--tune` runs it in a process of its own, so that the memory for measuring is free again before the server starts. The
curves and the flags to set go to standard error, for people; the settings go to standard output, as JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from serving.commands.tuning import SIZES, Curve, Picked, pick, table
from serving.config import Config
from serving.errors import DeviceUnavailableError, ModelRejectedError
from serving.host.cpu import has_driver, usable_cpus, worker_count
from serving.models.cuda_libraries import card_name
from serving.models.device import choose_device, open_on_device
from serving.models.loaded_model import LoadedModel, OpenSession
from serving.models.onnx_session import available_providers
from serving.models.repository import ModelRepository
from serving.options import CONTEXT, make_config, run_command, setting_options
from serving.predictions import PIXELS

MEASURING_SECONDS = 1.5  # for each candidate
MIN_ROUNDS = 5  # on a slow host, where one round takes longer than that
USED = (  # settings that decide what is measured
    *("model_repository", "model_name", "model_folder", "model_version", "model_public_key"),
    *("precision", "device", "workers", "inference_threads", "max_batch_size"),
)

Candidate = tuple[str, int, LoadedModel]  # precision, threads, and the model that has them


@click.command(context_settings=CONTEXT)
@setting_options(variables=USED)  # every flag, so that a server's command line can be measured as it is
def tune(**values: Any) -> None:
    """Measures the model on this host and prints the settings that suit it."""
    config = make_config({name: values[name] for name in USED})
    try:
        picked = pick_settings(config)
    except (ModelRejectedError, DeviceUnavailableError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(asdict(picked)))


def pick_settings(config: Config) -> Picked:
    """Measures the highest wanted version that passes its checks, and returns the settings for this host.

    Raises ModelRejectedError or DeviceUnavailableError when no version can be run.
    """
    repository = ModelRepository(
        config.model_repository, config.model_name, config.model_public_key, config.model_folder
    )
    refused: set[int] = set()
    while True:
        version = max(repository.wanted(config.model_version, refused), default=0)
        try:
            return _pick_for_version(config, repository, version)
        except ModelRejectedError as error:
            if not version:  # every version was measured
                raise
            refused.add(version)
            click.echo(f"version {version} is passed over: {error}", err=True)


def measure(candidates: Sequence[Candidate]) -> list[Curve]:
    """Measures a curve for each candidate, in rounds in which all candidates run in turn.

    The shortest time counts: other work on the machine can only lengthen it.
    """
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 12:15] = 255  # a plain 1: of noise a cascade's fast stage is unsure, so that both would be measured
    pixels = np.tile(image.reshape(PIXELS), (SIZES[-1], 1))
    shortest = [[float("inf")] * len(SIZES) for _ in candidates]
    ends = time.perf_counter() + MEASURING_SECONDS * len(candidates)
    rounds = 0
    while rounds < MIN_ROUNDS or time.perf_counter() < ends:
        for (_, _, model), seconds in zip(candidates, shortest, strict=True):
            for index, size in enumerate(SIZES):
                model.run(pixels[:size])  # untimed: the run before has filled the caches with another size
                began = time.perf_counter()
                model.run(pixels[:size])
                seconds[index] = min(seconds[index], time.perf_counter() - began)
        rounds += 1
    return [
        Curve(precision, threads, tuple(seconds), model.session.device)
        for (precision, threads, model), seconds in zip(candidates, shortest, strict=True)
    ]


def _pick_for_version(config: Config, repository: ModelRepository, version: int) -> Picked:
    precisions = [config.precision] if config.precision != "auto" else list(repository.forms(version))
    threads = [config.inference_threads] if config.inference_threads else _threads_to_measure(config)
    candidates = [] if config.device == "cuda" else _load(repository, version, "cpu", precisions, threads)
    if "float32" in precisions and choose_device(config.device, available_providers(), driver=has_driver()) == "cuda":
        candidates += _load_on_cuda(repository, version, config.device)
    curves = measure(candidates)
    cpu_workers = worker_count(config.workers, "cpu")
    picked = pick(curves, config.max_batch_size, card_name(), cpu_workers)
    click.echo(table(curves, picked), err=True)
    click.echo(f"To start with these settings and without measuring: {picked.flags}", err=True)
    return picked


def _load(
    repository: ModelRepository, version: int, device: str, precisions: Sequence[str], threads: Sequence[int]
) -> list[Candidate]:
    """Loads every candidate that passes the model's checks on this host. Raises the first failure when none does."""
    loaded: list[Candidate] = []
    failures: list[ModelRejectedError] = []
    for precision in precisions:
        for count in threads:
            try:
                model = repository.load(version, _opener(device, count), SIZES[-1], precision)
            except ModelRejectedError as error:  # the int8 form on a processor that rounds otherwise, for instance
                failures.append(error)
                click.echo(f"not measured: {error}", err=True)
            else:
                loaded.append((precision, count, model))
    if not loaded:
        raise failures[0]
    return loaded


def _load_on_cuda(repository: ModelRepository, version: int, requested: str) -> list[Candidate]:
    """Loads the float32 form on the card. Where CUDA was not `requested`, a failure only leaves the card out."""
    try:
        return _load(repository, version, "cuda", ["float32"], [1])
    except (ModelRejectedError, DeviceUnavailableError) as error:
        if requested == "cuda":
            raise
        click.echo(f"the card is not measured: {error}", err=True)
        return []


def _opener(device: str, threads: int) -> OpenSession:
    return lambda graph, precision: open_on_device(graph, precision, device, threads, SIZES[-1]).session


def _threads_to_measure(config: Config) -> list[int]:
    """Returns 1, 2, 4 and so on, up to a worker's share of the processors, and the share itself."""
    share = max(1, usable_cpus() // worker_count(config.workers, "cpu"))
    return sorted({share, *(2**power for power in range(share.bit_length()))})


if __name__ == "__main__":
    sys.exit(run_command(tune))
