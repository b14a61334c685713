"""The lesson's experiment in small: run_trials, gone on with, told and drawn."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from experiments.shift_invariance.command import run_trials
from experiments.shift_invariance.experiment import NETWORKS, Outcome, Trial
from experiments.shift_invariance.results import draw_accuracies, draw_shuffle, lesson_table
from training.data.mnist import Mnist
from training.fit.run_folder import RunFolder

TRIALS = [Trial(network, is_shuffled, 1) for network in NETWORKS for is_shuffled in (False, True)]
Stopped = tuple[Path, list[Outcome], list[Outcome]]  # the folder, what came before the stop, and all


@pytest.fixture(scope="module")
def stopped(small_mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """Stopped after two trials, and gone on with."""
    folder = RunFolder(tmp_path_factory.mktemp("lesson"))
    return folder.path, run_trials(folder, small_mnist, TRIALS[:2], 1), run_trials(folder, small_mnist, TRIALS, 1)


def test_it_goes_on_where_it_stopped(stopped: Stopped) -> None:
    folder, first, whole = stopped
    assert whole[:2] == first
    assert [each.trial for each in whole] == TRIALS
    assert len(json.loads((folder / "lesson.json").read_text())["outcomes"]) == 4
    assert (folder / "lesson-filters.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_tried_under_other_conditions_does_not_count(small_mnist: Mnist, tmp_path: Path) -> None:
    told = {"epochs": 7, "outcomes": [{"trial": {}}]}
    (tmp_path / "lesson.json").write_text(json.dumps(told))
    (outcome,) = run_trials(RunFolder(tmp_path), small_mnist, TRIALS[:1], epochs=1)
    assert outcome.trial == TRIALS[0]


def test_what_came_of_it_is_told_and_drawn(stopped: Stopped, small_mnist: Mnist, tmp_path: Path) -> None:
    _, _, outcomes = stopped
    console = Console(record=True, width=160)
    console.print(lesson_table(outcomes))
    told = console.export_text()
    assert "105,802" in told
    assert "105,866" in told
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
