"""`race`: seconds to 99.0, 99.4 and 99.6 % of MNIST's test rows, beside Keras' example network, in one run."""

import os
from collections.abc import Mapping

from rich.console import Console

from experiments.time_to_accuracy.keras_example import KerasExample
from experiments.time_to_accuracy.race import Race, Run
from experiments.time_to_accuracy.recipe_run import RecipeSprinter
from experiments.time_to_accuracy.recipes import RECIPES, Recipe
from experiments.time_to_accuracy.results import draw_race, race_file, race_table
from training.commands.context import mnist_of, run_folder, say
from training.config import TrainingConfig
from training.data.mnist import Mnist
from training.environment import library_versions, processor
from training.request import Request

IMAGES_BETWEEN_JUDGEMENTS = 10_000


def execute(request: Request) -> None:
    """Race; race.json and race.png into the run's folder, the table to standard output."""
    folder, mnist = run_folder(request), mnist_of(request)
    race, seed = Race(mnist.test, request.seconds, say), request.training.get("seed", TrainingConfig().seed)
    runs = raced(race, mnist, RECIPES, IMAGES_BETWEEN_JUDGEMENTS, seed)
    conditions = {
        "limit_seconds": request.seconds,
        "seed": seed,
        "images_between_judgements": IMAGES_BETWEEN_JUDGEMENTS,
        "processor": processor(),
        "processors": os.cpu_count(),
        "libraries": library_versions(),
    }
    folder.write_json("race.json", race_file(runs, conditions))
    draw_race(folder.path / "race.png", runs[0], runs[1:])
    Console().print(race_table(runs[0], runs[1:]))
    say(f"every point is in {folder.path}: race.json and race.png")


def raced(
    race: Race, mnist: Mnist, recipes: Mapping[float, Recipe], images_between_judgements: int, seed: int
) -> list[Run]:
    """The reference's run and one for each target, all on MNIST's training rows, with as many threads as there are."""
    reference = KerasExample(mnist.train, images_between_judgements, seed)
    sprinters = [
        (target, RecipeSprinter(f"ours, for {target:.1%}", recipe, mnist.train, images_between_judgements, seed))
        for target, recipe in recipes.items()
    ]
    return race.run(reference, sprinters)
