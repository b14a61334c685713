"""`python -m serving keys new NAME --file keys.toml`: makes an API key, shows it once and keeps its hash."""

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkstemp

from serving.auth.api_keys import CLASSIFY, SCOPES, new_secret, read_keys, table
from serving.errors import ConfigError

NEW_FILE_MODE = 0o640  # the group may read: the server's, say


def main(arguments: Sequence[str] | None = None) -> int:
    """0: made; 2: not, and why."""
    options = _parser().parse_args(arguments)
    try:
        secret = _add(options.file, options.name, sorted(set(options.scopes)), options.images_per_second)
    except (ConfigError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Kept in {options.file} as a hash. The key itself, which is not kept anywhere:", file=sys.stderr)
    print(secret)
    return 0


def _add(path: Path, name: str, scopes: list[str], images_per_second: float) -> str:
    """Writes the file anew, in one step: a server may be reading it. Who may read it stays as it was."""
    before, mode = "", NEW_FILE_MODE
    if path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
        if name in read_keys(path).names:
            raise ConfigError(f"{path} has a key of the name {name}: take its table out first, or choose another name")
        before = path.read_text().rstrip() + "\n\n"
    secret = new_secret()
    added = table(name, secret, scopes, images_per_second)
    descriptor, beside_name = mkstemp(dir=path.parent, prefix=f"{path.name}.")
    beside = Path(beside_name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(before + added)
        read_keys(beside)
        beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return secret


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving keys", description="API keys for the digit service.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a key and keep its hash in the file that --api-keys names")
    new.add_argument("name", help="whose key it is: letters, digits, - and _")
    new.add_argument("--file", type=Path, default=Path("keys.toml"), help="(default: %(default)s)")
    new.add_argument("--scopes", nargs="+", choices=sorted(SCOPES), default=[CLASSIFY], help="(default: classify)")
    new.add_argument("--images-per-second", type=float, default=0.0, help="0: no limit (default)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
