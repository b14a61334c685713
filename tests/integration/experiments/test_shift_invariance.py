"""The experiment in small: run, stopped, gone on with, as a table and in pictures."""

import dataclasses
import json
from pathlib import Path

import pytest
from rich.console import Console

from experiments.shift_invariance.command import run_trials
from experiments.shift_invariance.experiment import NETWORKS, Outcome, Trial
from experiments.shift_invariance.results import draw_accuracies, draw_shuffle, lesson_table
from training.data.mnist import Mnist
from training.fit.run_folder import RunFolder

TRIALS = [Trial("dense", False, 1), Trial("dense", True, 1), Trial("convolutional", False, 1)]
Stopped = tuple[Path, list[Outcome], list[Outcome]]  # the folder, what came before the stop, and all


@pytest.fixture(scope="module")
def stopped(small_mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """Stopped after one trial, and gone on with, in a folder with results from other conditions."""
    folder = RunFolder(tmp_path_factory.mktemp("lesson"))
    folder.write_json("lesson.json", {"epochs": 7, "outcomes": [{"trial": {}}]})
    return folder.path, run_trials(folder, small_mnist, TRIALS[:1], 1), run_trials(folder, small_mnist, TRIALS, 1)


def test_it_goes_on_where_it_stopped(stopped: Stopped) -> None:
    folder, first, whole = stopped
    assert whole[:1] == first
    assert [each.trial for each in whole] == TRIALS
    assert len(json.loads((folder / "lesson.json").read_text())["outcomes"]) == 3
    assert (folder / "lesson-filters.png").read_bytes().startswith(b"\x89PNG")


def test_results_from_other_conditions_do_not_count(stopped: Stopped) -> None:
    _, (outcome,), _ = stopped
    assert outcome.trial == TRIALS[0]


def test_outcomes_make_a_table_and_pictures(stopped: Stopped, small_mnist: Mnist, tmp_path: Path) -> None:
    _, _, trained = stopped
    outcomes = [*trained, dataclasses.replace(trained[2], trial=Trial("convolutional", True, 1))]
    console = Console(record=True, width=160)
    console.print(lesson_table(outcomes))
    table = console.export_text()
    assert "105,802" in table
    assert "105,866" in table
    draw_accuracies(tmp_path / "a.png", outcomes)
    draw_shuffle(tmp_path / "b.png", small_mnist.test.pixels[:5])
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_both_networks_have_as_much_to_learn() -> None:
    dense, convolutional = (build().count_params() for build in NETWORKS.values())
    assert abs(dense - convolutional) < 0.001 * dense


def test_shuffled_digits_are_other_digits_to_a_network(stopped: Stopped) -> None:
    _, _, (plain, shuffled, *_) = stopped
    assert plain.accuracies != shuffled.accuracies
    assert len(plain.accuracies) == len(plain.shifts) == 5
