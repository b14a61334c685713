"""Runs the whole experiment: every trial on MNIST, going on where an earlier run stopped; table, pictures, file."""

import os
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from experiments.shift_invariance.experiment import BATCH_SIZE, EPOCHS, NETWORKS, TRIALS, Outcome, Trial, run_trial
from experiments.shift_invariance.results import (
    draw_accuracies,
    draw_filters,
    draw_shuffle,
    lesson_file,
    lesson_table,
    outcome_from,
)
from training.commands.data import load_data, run_folder, say
from training.config import Places
from training.data.mnist import Mnist
from training.environment import library_versions, processor
from training.fit.run_folder import RunFolder

FILE = "lesson.json"


def measure(places: Places, run: str) -> None:
    """Run all trials; lesson.json and pictures into the run's folder, the table to standard output."""
    folder, mnist = run_folder(places, run), load_data(places)
    outcomes = run_trials(folder, mnist, TRIALS)
    digits = [int(np.flatnonzero(mnist.test.labels == digit)[0]) for digit in range(10)]
    draw_shuffle(folder.path / "lesson-digits.png", mnist.test.pixels[digits])
    draw_accuracies(folder.path / "lesson-accuracies.png", outcomes)
    Console().print(lesson_table(outcomes))
    say(f"{FILE} and the pictures are in {folder.path}")


def run_trials(folder: RunFolder, mnist: Mnist, trials: Sequence[Trial], epochs: int = EPOCHS) -> list[Outcome]:
    """The outcomes of all trials; those that the folder already has from an earlier time are not done again."""
    conditions = {
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "processor": processor(),
        "processors": os.cpu_count(),
        "libraries": library_versions(),
    }
    outcomes = _earlier(folder, conditions)
    kernels = {network: folder.path / f"lesson-{network}.npy" for network in NETWORKS}  # of the first layers
    for number, trial in enumerate(trials, start=1):
        if trial in [each.trial for each in outcomes]:
            continue
        outcome, kernel = run_trial(trial, mnist.train, mnist.test, epochs)
        outcomes.append(outcome)
        folder.write_json(FILE, lesson_file(outcomes, conditions))
        if trial.seed == trials[0].seed and not trial.is_shuffled:
            np.save(kernels[trial.network], kernel)
        pixels = "shuffled digits" if trial.is_shuffled else "digits"
        accuracy = f"{outcome.accuracies[0]:.2%}"
        say(
            f"{number:2}/{len(trials)}  {trial.network:13}  {pixels:15}  seed {trial.seed}  {accuracy} of the test rows"
        )
    if all(path.exists() for path in kernels.values()):
        draw_filters(
            folder.path / "lesson-filters.png", *(np.load(kernels[name]) for name in ("convolutional", "dense"))
        )
    return outcomes


def _earlier(folder: RunFolder, conditions: dict[str, object]) -> list[Outcome]:
    if not (folder.path / FILE).exists():
        return []
    stored = folder.read_json(FILE)
    if any(stored.get(name) != value for name, value in conditions.items()):
        return []  # from another machine, or other libraries
    return [outcome_from(each) for each in stored["outcomes"]]
