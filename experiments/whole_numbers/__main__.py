"""`python -m experiments.whole_numbers`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from experiments.whole_numbers import command
from experiments.whole_numbers.handwriting import SPLITS
from experiments.whole_numbers.pictures import KINDS
from training.command_line import run_command

_PREFIX = "MNIST_EXPERIMENT"
_WIDE: dict[str, Any] = {"max_content_width": 120, "help_option_names": ["-h", "--help"]}
# The prefix again for each command, or click would put the command's name into the variable: a flag has one variable.
_COMMAND: dict[str, Any] = {"context_settings": {**_WIDE, "auto_envvar_prefix": _PREFIX}}

_split_option = click.option(
    "--split", type=click.Choice(SPLITS), default="validation", help="whose writers (default: validation)"
)
_seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, metavar="N", help="seed of the first picture (default: 0)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit statuses are those of `python -m training`."""
    return run_command(whole_numbers, arguments, "python -m experiments.whole_numbers", _PREFIX)


@click.group(context_settings=_WIDE)
def whole_numbers() -> None:
    """Pictures of whole handwritten numbers, made of MNIST's rows, and how a server reads them.

    Each flag has an environment variable: MNIST_EXPERIMENT_COUNT=50 is --count 50. MNIST comes from the default cache
    folder, or is fetched.
    """


@whole_numbers.command(**_COMMAND)
@click.option("--url", default="http://127.0.0.1:8080", metavar="URL", help="server (default: http://127.0.0.1:8080)")
@click.option("--count", type=click.IntRange(1), default=200, metavar="N", help="pictures of each kind (default: 200)")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="a kind, again for more (default: all)")
@_split_option
@_seed_option
def evaluate(url: str, count: int, kinds: tuple[str, ...], split: str, seed: int) -> None:
    """Send pictures to a running server; the table in Markdown goes to standard output."""
    command.evaluate(url, kinds or KINDS, count, split, seed)


@whole_numbers.command(**_COMMAND)
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT")
@_split_option
@_seed_option
def pictures(folder: Path, split: str, seed: int) -> None:
    """Write a picture of each kind into OUT, with and without the boxes of its digits."""
    command.write_gallery(folder, split, seed)


if __name__ == "__main__":
    sys.exit(main())
