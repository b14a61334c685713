"""Figures of the same recipe from several seeds, read from the evaluated runs in the runs folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from training.config import FORMER_SETTINGS
from training.errors import RunError
from training.fit.run_folder import RunFolder
from training.network.folding import fold

_DIFFERS_BY_SEED = ("seed", "data_seed", "teacher")


class SeedFigures(TypedDict):
    """One recipe; a number for each run, in the order of their names."""

    runs: list[str]
    parameters: int
    multiply_adds: int
    test_accuracy: list[float]
    test_nll: list[float]
    test_ece: list[float]
    validation_accuracy: list[float]


def seed_figures(runs_folder: Path) -> dict[str, SeedFigures]:
    """The finished and evaluated runs, by recipe: those that differ in nothing but their seeds.

    A recipe is called as its runs are without their last number: runs accurate-1 and accurate-2 are `accurate`.
    """
    groups: dict[str, list[RunFolder]] = {}
    for path in sorted(runs_folder.glob("*-[0-9]*")):
        folder = RunFolder(path)
        if folder.is_finished and folder.metrics.exists():
            groups.setdefault(path.name.rpartition("-")[0], []).append(folder)
    return {name: _figures(folders) for name, folders in groups.items()}


def _figures(folders: list[RunFolder]) -> SeedFigures:
    settings = {json.dumps(_settings(folder), sort_keys=True) for folder in folders}
    if len(settings) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise RunError(f"the runs {names} differ in more than their seeds: give other recipes other names")
    network = fold(folders[0].read_weights(), folders[0].read_record().config.depths)
    metrics: list[Mapping[str, Any]] = [folder.read_json("metrics.json")["metrics"] for folder in folders]
    return {
        "runs": [folder.name for folder in folders],
        "parameters": network.parameters,
        "multiply_adds": network.multiply_adds,
        "test_accuracy": [each["mnist_test"]["accuracy"] for each in metrics],
        "test_nll": [each["mnist_test"]["nll"] for each in metrics],
        "test_ece": [each["mnist_test"]["ece"] for each in metrics],
        "validation_accuracy": [each["mnist_validation"]["accuracy"] for each in metrics],
    }


def _settings(folder: RunFolder) -> dict[str, Any]:
    config: dict[str, Any] = {**FORMER_SETTINGS, **folder.read_json("run.json")["config"]}
    return {name: value for name, value in config.items() if name not in _DIFFERS_BY_SEED}
