"""`python -m serving versions`: which versions of a model there are and are served; pin one, roll back, unpin.

What is pinned stands in the model's config.pbtxt, which running servers read again: ours, and Triton.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from serving.errors import ModelRejectedError
from serving.models.repository import CONFIG, ModelRepository

_POLICY = re.compile(r"\n*^[ \t]*version_policy[ \t]*:?[ \t\n]*\{", re.MULTILINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done; 1: not, and why; 2: wrong usage."""
    options = _parser().parse_args(arguments)
    folder = options.model_repository / options.model_name
    repository = ModelRepository(options.model_repository, options.model_name)
    try:
        there, served = repository.versions(), repository.wanted(None)
        if options.command == "pin":
            _pin(folder, there, options.version)
        elif options.command == "rollback":
            before = [version for version in there if version < max(served, default=0)]
            if not before:
                raise ModelRejectedError(f"{folder} has no version below {max(served, default=0)} to go back to")
            _pin(folder, there, before[-1])
        elif options.command == "unpin":
            _write(folder / CONFIG, "")
        served = repository.wanted(None)
    except (ModelRejectedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for version in there:
        print(f"{version}  to be served" if version in served else version)
    return 0


def _pin(folder: Path, there: Sequence[int], version: int) -> None:
    if version not in there:
        raise ModelRejectedError(f"{folder} holds no version {version}, only {', '.join(map(str, there))}")
    _write(folder / CONFIG, f"version_policy {{ specific {{ versions: [ {version} ] }} }}\n")


def _write(path: Path, policy: str) -> None:
    """The file with this policy in place of the one it had, in one step."""
    text = without_policy(path.read_text() if path.exists() else "")
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text.rstrip("\n") + "\n" + policy)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def without_policy(text: str) -> str:
    """A config.pbtxt without its version_policy; the rest as somebody wrote it, comments and all."""
    found = _POLICY.search(text)
    if not found:
        return text
    depth, end = 1, found.end()
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[: found.start()] + text[end:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving versions", description=__doc__)
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help="(default: %(default)s)")
    parser.add_argument("--model-name", default="mnist", help="(default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the versions there are, and which are to be served")
    pin = commands.add_parser("pin", help="serve this version and no other")
    pin.add_argument("version", type=int)
    commands.add_parser("rollback", help="serve the version before the one that is served now, and no other")
    commands.add_parser("unpin", help="serve the latest again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
