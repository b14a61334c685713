"""Runs the whole experiment: the reference and one run for each target, on MNIST; table, picture and file."""

import os
from collections.abc import Mapping

from rich.console import Console

from experiments.time_to_accuracy.keras_example import KerasExample
from experiments.time_to_accuracy.race import Race, Run
from experiments.time_to_accuracy.recipe_run import RecipeRun
from experiments.time_to_accuracy.recipes import RECIPES, Recipe
from experiments.time_to_accuracy.results import draw_race, race_file, race_table
from training.commands.data import load_data, run_folder, say
from training.config import Places
from training.data.mnist import Mnist
from training.environment import library_versions, processor

IMAGES_BETWEEN_EVALUATIONS = 10_000


def measure(places: Places, run: str, seconds: float, seed: int) -> None:
    """Train both sides; race.json and race.png into the run's folder, the table to standard output."""
    folder, mnist = run_folder(places, run), load_data(places)
    runs = run_race(Race(mnist.test, seconds, say), mnist, RECIPES, IMAGES_BETWEEN_EVALUATIONS, seed)
    conditions = {
        "limit_seconds": seconds,
        "seed": seed,
        "images_between_judgements": IMAGES_BETWEEN_EVALUATIONS,
        "processor": processor(),
        "processors": os.cpu_count(),
        "libraries": library_versions(),
    }
    folder.write_json("race.json", race_file(runs, conditions))
    draw_race(folder.path / "race.png", runs[0], runs[1:])
    Console().print(race_table(runs[0], runs[1:]))
    say(f"every point is in {folder.path}: race.json and race.png")


def run_race(
    race: Race, mnist: Mnist, recipes: Mapping[float, Recipe], images_between_evaluations: int, seed: int
) -> list[Run]:
    """The reference's run and one for each target, all on MNIST's training rows, with as many threads as there are."""
    reference = KerasExample(mnist.train, images_between_evaluations, seed)
    candidates = [
        (target, RecipeRun(f"ours, for {target:.1%}", recipe, mnist.train, images_between_evaluations, seed))
        for target, recipe in recipes.items()
    ]
    return race.run(reference, candidates)
