"""The lesson's experiment in small: performed, gone on with, told and drawn."""

import json
from pathlib import Path

from rich.console import Console

from training.commands.lesson import performed
from training.lesson import NETWORKS, Trial
from training.lesson_results import draw_accuracies, draw_shuffle, lesson_table
from training.mnist_files import Mnist
from training.run_folder import RunFolder

TRIALS = [Trial(network, is_shuffled, 1) for network in NETWORKS for is_shuffled in (False, True)]


def test_it_is_performed_once_and_goes_on_where_it_stopped(small_mnist: Mnist, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = performed(folder, small_mnist, TRIALS[:2], epochs=1)
    whole = performed(folder, small_mnist, TRIALS, epochs=1)
    assert whole[:2] == first
    assert [each.trial for each in whole] == TRIALS
    assert len(json.loads((tmp_path / "lesson.json").read_text())["outcomes"]) == 4
    assert (tmp_path / "lesson-filters.png").read_bytes().startswith(b"\x89PNG")
    again = performed(folder, small_mnist, TRIALS[:1], epochs=2)  # other conditions: nothing of before counts
    assert len(again) == 1


def test_what_came_of_it_is_told_and_drawn(small_mnist: Mnist, tmp_path: Path) -> None:
    outcomes = performed(RunFolder(tmp_path), small_mnist, TRIALS, epochs=1)
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


def test_a_network_that_learns_digits_learns_shuffled_ones_otherwise(small_mnist: Mnist, tmp_path: Path) -> None:
    plain, shuffled = performed(RunFolder(tmp_path), small_mnist, TRIALS[:2], epochs=2)
    assert plain.accuracies != shuffled.accuracies
    assert len(plain.accuracies) == len(plain.shifts) == 5
