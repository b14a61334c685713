"""`python -m experiments.own_digits`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from training.command_line import run_command

_PREFIX = "MNIST_EXPERIMENT"
_WIDE: dict[str, Any] = {"max_content_width": 120, "help_option_names": ["-h", "--help"]}
_COMMAND: dict[str, Any] = {"context_settings": {**_WIDE, "auto_envvar_prefix": _PREFIX}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit statuses are those of `python -m training`."""
    return run_command(own_digits, arguments, "python -m experiments.own_digits", _PREFIX)


@click.group(context_settings=_WIDE)
def own_digits() -> None:
    """Slanted handwriting that the committed model reads badly, and how well versions read it."""


@own_digits.command(**_COMMAND)
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT")
def pictures(folder: Path) -> None:
    """Write the pictures of three writers into OUT/learned, those of two others into OUT/fresh."""
    from experiments.own_digits.command import write_pictures

    write_pictures(folder)


@own_digits.command(**_COMMAND)
@click.argument("folder", type=click.Path(path_type=Path), metavar="PICTURES")
@click.argument("versions", type=click.Path(path_type=Path), metavar="VERSION...", nargs=-1, required=True)
def read(folder: Path, versions: tuple[Path, ...]) -> None:
    """Read labelled PICTURES with each VERSION, such as models/mnist/5; the table goes to standard output."""
    from experiments.own_digits.command import compare

    compare(folder, versions, lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
