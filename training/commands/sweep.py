"""Many training runs through Ray Tune: seeds and settings, here or on a cluster, each with its checkpoints.

A trial is a run as `python -m training train` makes it, in its own folder. So a trial that is lost with its node goes
on from the run's last checkpoint, on another node, and so does a sweep that is resumed.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.commands.data import load_data, make_added, run_folder, say, split_of
from training.config import Places, TrainingConfig, apply_settings
from training.data.split import Split
from training.errors import RunError
from training.files import write_atomically
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.fit.training_run import begin, fit

MOST_FAILURES = 5  # of one trial, whose node or process was lost
MOST_TRIALS = 1000


def run_sweep(
    places: Places,
    name: str,
    settings: Mapping[str, Any],
    seeds: Sequence[int],
    values: Mapping[str, Sequence[Any]],
    address: str | None,
    resume: bool,
) -> None:
    """Train one run for each seed and each combination of values; a table to standard output.

    Raises:
        RunError: the sweep is there already, has other trials, or a trial failed; or Ray is not installed.
        ConfigError: a setting is unknown or out of range.
    """
    places = _absolute(places)
    trials = plan(settings, seeds, values)
    _begin(places, name, trials, resume)
    load_data(places)  # fetched once, and not by every trial at the same time
    waiting = {number: trial for number, trial in enumerate(trials) if not _folder(places, name, number).is_finished}
    failed = _run(places, name, waiting, address)
    for folder, trial in ((_folder(places, name, number), trial) for number, trial in enumerate(trials)):
        if not folder.is_finished and folder.name not in failed:
            failed[folder.name] = f"{trial} did not finish"
    Console().print(_table(places, name, trials))
    if failed:
        raise RunError("go on with --resume; these trials failed: " + "; ".join(map(": ".join, failed.items())))


def plan(
    settings: Mapping[str, Any], seeds: Sequence[int], values: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """The settings of each trial: all combinations of values, each with all seeds.

    Raises:
        RunError: there are none, or too many.
        ConfigError: a setting is unknown or out of range.
    """
    trials = [
        {**settings, **dict(zip(values, combination, strict=True)), **({"seed": seed} if seed is not None else {})}
        for combination in itertools.product(*values.values())
        for seed in (seeds or (None,))
    ]
    if not 1 <= len(trials) <= MOST_TRIALS:
        raise RunError(f"a sweep has 1 to {MOST_TRIALS} trials, not {len(trials):,}")
    for trial in trials:
        apply_settings(TrainingConfig(), trial, "settings")
    return trials


def run_trial(places: Places, run: str, settings: Mapping[str, Any]) -> dict[str, float]:
    """Train one run to its end, from its last checkpoint if it has one; its figures."""
    folder = run_folder(places, run)
    record = begin(folder, settings, resume=folder.has_begun, restart=False)
    before = len(json.loads((folder.path / "history.json").read_text())) if folder.checkpoint.exists() else 0
    split, added = _rows(record.config, places)
    history = fit(folder, record.config, split, added, Console(stderr=True))
    return {
        "validation_accuracy": history[-1].validation_accuracy,
        "validation_loss": history[-1].validation_loss,
        "epochs": len(history),
        "epochs_before": before,  # of an attempt that was lost
    }


def _rows(config: TrainingConfig, places: Places) -> tuple[Split, AddedRows]:
    split = split_of(config, load_data(places))
    return split, make_added(config, split, places)


def _begin(places: Places, name: str, trials: Sequence[dict[str, Any]], resume: bool) -> None:
    """Write down what the sweep is. Raises RunError where another one has its name."""
    path = run_folder(places, name).path / "sweep.json"
    content = json.dumps(trials, indent=2) + "\n"
    if path.exists():
        if not resume:
            raise RunError(f"there is a sweep {name!r} already. Go on with it: --resume. Begin another: --sweep NAME")
        if path.read_text() != content:
            raise RunError(f"the sweep {name!r} was begun with other trials ({path}): give it the same flags")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.encode())


def _run(places: Places, name: str, trials: Mapping[int, dict[str, Any]], address: str | None) -> dict[str, str]:
    """Run the trials through Ray Tune. Returns the reasons of those that failed, by the run's name."""
    if not trials:
        return {}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports its use to its makers
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "1")
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise RunError("a sweep needs ray: pip install -r requirements/scale.txt") from error
    try:
        ray.init(address=address, include_dashboard=None if address else False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(f"no Ray cluster at {address}: {error}") from error
    try:
        threads = max(apply_settings(TrainingConfig(), trial, "settings").threads for trial in trials.values())
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, places=places, name=name), {"cpu": threads}),
            param_space={"trial": tune.grid_search([{"number": n, "settings": each} for n, each in trials.items()])},
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(run_folder(places, name).path),
                failure_config=tune.FailureConfig(max_failures=MOST_FAILURES),
                verbose=0,
            ),
        )
        results = tuner.fit()
        say(f"{len(results)} trials ran, {results.num_errors} failed")
        return {
            _folder(places, name, result.config["trial"]["number"]).name: str(result.error).splitlines()[-1]
            for result in results
            if result.error and result.config
        }
    finally:
        ray.shutdown()


def _trial(config: Mapping[str, Any], places: Places, name: str) -> None:
    """Run on a node: one trial, whose figures go to Tune."""
    from ray import tune

    trial = config["trial"]
    tune.report(run_trial(places, _folder(places, name, trial["number"]).name, trial["settings"]))


def _folder(places: Places, name: str, number: int) -> RunFolder:
    """The run of a trial: in the runs folder as any other, so that `evaluate`, `export` and teachers find it."""
    return run_folder(places, f"{name}-{number:03d}")


def _absolute(places: Places) -> Places:
    """The same places for programs that run in other folders."""
    folders = {
        "runs_folder": places.runs_folder,
        "cache_folder": str(places.cache),
        "mnist_folder": places.mnist_folder,
    }
    return dataclasses.replace(
        places, **{key: str(Path(folder).resolve()) if folder else "" for key, folder in folders.items()}
    )


def _table(places: Places, name: str, trials: Sequence[dict[str, Any]]) -> Table:
    table = Table("run", "settings", "epochs", "validation accuracy", title=f"sweep {name}")
    for number, trial in enumerate(trials):
        folder = _folder(places, name, number)
        shown = " ".join(f"{key}={value}" for key, value in trial.items())
        if folder.is_finished:
            history = folder.read_json("history.json")
            table.add_row(folder.name, shown, str(len(history)), f"{history[-1]['validation_accuracy']:.2%}")
        else:
            table.add_row(folder.name, shown, "", "not finished")
    return table
