"""`python -m experiments.time_to_accuracy`."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from training.command_line import SettingsCommand, run_command, settings_options
from training.config import Places, TrainingConfig
from training.environment import require_tensorflow, stderr_held_back


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; exit statuses are those of `python -m training`."""
    return run_command(time_to_accuracy, arguments, "python -m experiments.time_to_accuracy", "MNIST_EXPERIMENT")


@click.command(cls=SettingsCommand, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.option("--run", default="race", metavar="NAME", help="name of the run (default: race)")
@click.option("--seconds", type=float, default=600, metavar="N", help="limit of each training (default: 600)")
@settings_options(["seed"])
def time_to_accuracy(places: Places, settings: Mapping[str, Any], run: str, seconds: float) -> None:
    """Seconds of training to 99.0, 99.4 and 99.6 %, and Keras' example network, in one run.

    The table goes to standard output, race.json and race.png into the run's folder. Both sides have the same seed. Each
    flag has an environment variable: MNIST_EXPERIMENT_SECONDS=60 is --seconds 60.
    """
    require_tensorflow("the experiment")
    with stderr_held_back():  # imported here and not above: --help need not wait for TensorFlow
        from experiments.time_to_accuracy.command import measure
    measure(places, run, seconds, settings.get("seed", TrainingConfig().seed))


if __name__ == "__main__":
    sys.exit(main())
