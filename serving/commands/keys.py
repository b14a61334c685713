"""`python -m serving keys new NAME --file keys.toml`: makes an API key, shows it once and stores its hash."""

import stat
from pathlib import Path

import click

from serving.auth.api_keys import CLASSIFY, SCOPES, new_secret, read_keys, table
from serving.errors import ConfigError
from serving.files import replace_atomically
from serving.options import CommandGroup

_SCOPE = click.Choice(sorted(SCOPES))
NEW_FILE_MODE = 0o640  # readable by the group, which may be the server's


class _NewCommand(click.Command):
    """Reads `--scopes admin classify` as both; click's options take a fixed number of values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeated: list[str] = []
        scopes = 0  # behind the last --scopes; 0 also behind any other flag
        is_scope = False
        for argument in args:
            if argument.startswith("-"):
                is_scope, scopes = argument == "--scopes", 0
            elif is_scope:
                scopes += 1
            repeated += ["--scopes", argument] if scopes > 1 else [argument]
        return super().parse_args(ctx, repeated)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Makes API keys for the digit service."""


@keys.command(cls=_NewCommand)
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("keys.toml"), show_default=True)
@click.option("--scopes", type=_SCOPE, multiple=True, help=f"What the key is for, one or more. (default: {CLASSIFY})")
@click.option("--images-per-second", type=float, default=0.0, show_default=True, help="0: no limit.")
def new(name: str, path: Path, scopes: tuple[str], images_per_second: float) -> None:
    """Makes a key and stores its hash in a file for --api-keys. NAME: letters, digits, - and _."""
    wanted = set(scopes) or {CLASSIFY}
    try:
        secret = _add(path, name, sorted(wanted), images_per_second)
    except (ConfigError, ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Kept in {path} as a hash. The key itself, which is not kept anywhere:", err=True)
    click.echo(secret)


def _add(path: Path, name: str, scopes: list[str], images_per_second: float) -> str:
    """Adds a key to the file and returns its secret. Replaces the file in one step: a server may be reading it."""
    before, mode = "", NEW_FILE_MODE
    if path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
        if name in read_keys(path).names:
            raise ConfigError(f"{path} has a key of the name {name}: take its table out first, or choose another name")
        before = path.read_text().rstrip() + "\n\n"
    secret = new_secret()
    added = table(name, secret, scopes, images_per_second)
    replace_atomically(path, before + added, mode, check=read_keys)
    return secret
