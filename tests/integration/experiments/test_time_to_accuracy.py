"""Both sides train, are evaluated and leave their points."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from experiments.time_to_accuracy.__main__ import main
from experiments.time_to_accuracy.command import run_race
from experiments.time_to_accuracy.keras_example import KerasExample, example_network
from experiments.time_to_accuracy.prediction import Reader
from experiments.time_to_accuracy.race import Race, Run
from experiments.time_to_accuracy.recipe_run import RecipeRun, race_network
from experiments.time_to_accuracy.recipes import RECIPES, Recipe
from experiments.time_to_accuracy.results import draw_race
from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist

TINY = Recipe((4, 4), dense_units=8, epochs=2, batch_size=40, learning_rate=0.02, shift_pixels=1)
RECIPES_OF_EVERY_KIND: Mapping[float, Recipe] = {
    0.15: TINY,
    0.16: dataclasses.replace(RECIPES[0.996], filters=(4,), dense_units=8, batch_size=40),
}


def _run_race(mnist: Mnist, limit_seconds: float) -> list[Run]:
    """A race of the committed digits."""
    race = Race(mnist.test, limit_seconds, lambda _: None)
    return run_race(race, mnist, RECIPES_OF_EVERY_KIND, images_between_evaluations=128, seed=1)


def test_both_sides_train_and_are_evaluated_on_the_same_rows(small_mnist: Mnist, tmp_path: Path) -> None:
    reference, *candidate_runs = _run_race(small_mnist, limit_seconds=1)
    assert [run.targets for run in candidate_runs] == [(0.15,), (0.16,)]
    assert reference.points[0].images == 128
    assert [point.images for point in candidate_runs[0].points][:2] == [120, 240]
    for run in (reference, *candidate_runs):
        assert run.prepared_seconds > 0
        seconds = [point.seconds for point in run.points]
        assert seconds == sorted(seconds)
    draw_race(tmp_path / "race.png", reference, candidate_runs)
    assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG")


def test_preparing_moves_no_weight(digits: LabelledDigits) -> None:
    sides: list[tuple[RecipeRun | KerasExample, Callable[[], keras.Model]]] = [
        (RecipeRun("ours", TINY, digits, 128, seed=1), lambda: race_network(TINY)),
        (KerasExample(digits, 128, seed=1), example_network),
    ]
    for side, network in sides:
        keras.utils.set_random_seed(1)
        untrained = Reader(network())
        side.prepare()
        np.testing.assert_array_equal(side.read(digits.pixels), untrained.read(digits.pixels))


def test_the_reference_is_the_network_of_keras_example() -> None:
    assert example_network().count_params() == 34_826


def test_a_candidate_learns_and_the_same_seed_learns_the_same(digits: LabelledDigits) -> None:
    recipe = dataclasses.replace(TINY, filters=(8, 16), dense_units=32, epochs=12, averaging=0.9)
    answers = []
    for _ in range(2):
        candidate = RecipeRun("ours", recipe, digits, 2000, seed=1)
        candidate.prepare()
        seen = list(candidate.train())
        assert seen == [2000, 4000, 4800]
        answers.append(candidate.read(digits.pixels))
    assert np.mean(answers[0] == digits.labels) > 0.9
    np.testing.assert_array_equal(answers[0], answers[1])


def test_the_reference_learns_until_it_is_stopped(digits: LabelledDigits) -> None:
    reference = KerasExample(digits, 1280, seed=1)
    reference.prepare()
    seen: list[int] = []

    def evaluate(images: int) -> bool:
        seen.append(images)
        return len(seen) < 4

    reference.train(evaluate)
    assert seen == [1280, 2560, 3840, 5120]
    assert np.mean(reference.read(digits.pixels) == digits.labels) > 0.7


@pytest.mark.parametrize("target", RECIPES)
def test_a_recipe_of_the_race_can_be_built(target: float, digits: LabelledDigits) -> None:
    recipe = dataclasses.replace(RECIPES[target], batch_size=8)
    candidate = RecipeRun("ours", recipe, digits.take(np.arange(16)), 8, seed=1)
    candidate.prepare()
    assert next(candidate.train()) == 8


@pytest.mark.usefixtures("mnist")
def test_the_command_races_and_leaves_its_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0", "--runs-folder", str(tmp_path)]) == 0
    written: dict[str, Any] = json.loads((tmp_path / "race" / "race.json").read_text(encoding="utf-8"))
    assert [run["targets"] for run in written["runs"]] == [[0.99, 0.994, 0.996], [0.99], [0.994], [0.996]]
    assert (tmp_path / "race" / "race.png").exists()
    assert "not within" in capsys.readouterr().out
