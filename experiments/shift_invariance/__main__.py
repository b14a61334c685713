"""`python -m experiments.shift_invariance`."""

import sys
from collections.abc import Sequence

import click

from training.command_line import SettingsCommand, run_command, settings_options
from training.config import Places
from training.environment import stderr_held_back


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; exit statuses are those of `python -m training`."""
    return run_command(shift_invariance, arguments, "python -m experiments.shift_invariance", "MNIST_EXPERIMENT")


@click.command(cls=SettingsCommand, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.option("--run", default="lesson", metavar="NAME", help="name of the run (default: lesson)")
@settings_options()
def shift_invariance(places: Places, run: str) -> None:
    """A dense and a convolutional network of equal size, on digits, shuffled digits and shifted digits.

    The table goes to standard output, lesson.json and pictures into the run's folder. Each flag has an environment
    variable: MNIST_EXPERIMENT_RUN=again is --run again.
    """
    with stderr_held_back():  # imported here and not above: --help need not wait for TensorFlow
        from experiments.shift_invariance.command import measure
    measure(places, run)


if __name__ == "__main__":
    sys.exit(main())
