"""`python -m experiments.training_labels`."""

import sys
from collections.abc import Sequence

import click

from training.command_line import SettingsCommand, run_command, settings_options
from training.config import Places
from training.environment import stderr_held_back


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; exit statuses are those of `python -m training`."""
    return run_command(training_labels, arguments, "python -m experiments.training_labels", "MNIST_EXPERIMENT")


@click.command(cls=SettingsCommand, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.option("--run", default="labels", metavar="NAME", help="name of the run (default: labels)")
@click.option("--folds", default=3, type=click.IntRange(2, 20), help="parts of the writers (default: 3)", metavar="N")
@click.option("--epochs", default=20, type=click.IntRange(1), help="epochs of each network (default: 20)", metavar="N")
@settings_options()
def training_labels(places: Places, run: str, folds: int, epochs: int) -> None:
    """Find MNIST's training rows whose labels are doubtful, by networks that know neither the row nor its writer.

    The table goes to standard output, labels.json and a sheet of the rows into the run's folder; a run that was stopped
    goes on. Each flag has an environment variable: MNIST_EXPERIMENT_RUN=again is --run again.
    """
    with stderr_held_back():  # imported here and not above: --help need not wait for TensorFlow
        from experiments.training_labels.command import measure
    measure(places, run, folds, epochs)


if __name__ == "__main__":
    sys.exit(main())
