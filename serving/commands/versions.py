"""`python -m serving versions`: lists a model's versions, pins one, rolls back, unpins.

The pin is the version_policy in the model's config.pbtxt. Running servers read that file again, this one and Triton.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from serving.errors import ModelRejectedError
from serving.files import read_regular, replace_atomically
from serving.models.repository import CONFIG, MOST_CONFIG_BYTES, ModelRepository
from serving.options import CONTEXT, CommandGroup, setting_options
from serving.version_policy import LARGEST_VERSION

# The field and the brace that opens it, at the start of a line: without_policy() counts braces from there.
_POLICY = re.compile(r"\n*^[ \t]*version_policy[ \t]*:?[ \t\n]*\{", re.MULTILINE)
_of_a_model = setting_options(("model_repository", "model_name", "model_folder"))


@click.group(cls=CommandGroup, context_settings=CONTEXT)
def versions() -> None:
    """Lists a model's versions and chooses which are served."""


@versions.command("list", context_settings=CONTEXT)
@_of_a_model
def show(model_repository: Path, model_name: str, model_folder: Path | None) -> None:
    """Lists the versions and marks those to be served."""
    repository = ModelRepository(model_repository, model_name, folder=model_folder)
    _list(repository)


@versions.command(context_settings=CONTEXT)
@click.argument("version", type=int)
@_of_a_model
def pin(model_repository: Path, model_name: str, model_folder: Path | None, version: int) -> None:
    """Pins VERSION: serves it and no other."""
    repository = ModelRepository(model_repository, model_name, folder=model_folder)
    with _failures():
        _pin(repository, version)
    _list(repository)


@versions.command(context_settings=CONTEXT)
@_of_a_model
def rollback(model_repository: Path, model_name: str, model_folder: Path | None) -> None:
    """Pins the version before the one that is served now."""
    repository = ModelRepository(model_repository, model_name, folder=model_folder)
    with _failures():
        highest = max(repository.wanted(None), default=0)
        before = [version for version in _there(repository) if version < highest]
        if not before:
            raise ModelRejectedError(f"{repository.folder} has no version below {highest} to go back to")
        _pin(repository, before[-1])
    _list(repository)


@versions.command(context_settings=CONTEXT)
@_of_a_model
def unpin(model_repository: Path, model_name: str, model_folder: Path | None) -> None:
    """Serves the latest version again."""
    repository = ModelRepository(model_repository, model_name, folder=model_folder)
    with _failures():
        repository.wanted(None)  # refuses a config.pbtxt that cannot be read, before it is written
        _write_policy(repository.folder / CONFIG, "")
    _list(repository)


def without_policy(text: str) -> str:
    """Removes version_policy from the text of a config.pbtxt. All else stays as it was written, comments included.

    google.protobuf.text_format would drop comments, and fields of Triton's that protos/inference does not have.
    """
    found = _POLICY.search(text)
    if not found:
        return text
    depth, end = 1, found.end()
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[: found.start()] + text[end:]


@contextmanager
def _failures() -> Iterator[None]:
    """Turns errors of the repository into an error of the command, exit status 1."""
    try:
        yield
    except (ModelRejectedError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _list(repository: ModelRepository) -> None:
    with _failures():
        there, served = _there(repository), repository.wanted(None)
    for version in there:
        click.echo(f"{version}  to be served" if version in served else version)


def _there(repository: ModelRepository) -> list[int]:
    """Returns the versions, at least one. Raises ModelRejectedError."""
    if versions := repository.versions():
        return versions
    raise repository.no_version()


def _pin(repository: ModelRepository, version: int) -> None:
    there = [each for each in _there(repository) if each <= LARGEST_VERSION]
    repository.policy()  # refuses a config.pbtxt that cannot be read, before it is written
    if version not in there:
        raise ModelRejectedError(f"{repository.folder} holds no version {version}, only {', '.join(map(str, there))}")
    _write_policy(repository.folder / CONFIG, f"version_policy {{ specific {{ versions: [ {version} ] }} }}\n")


def _write_policy(path: Path, policy: str) -> None:
    """Replaces the policy in the file, in one step: a server may be reading it."""
    text = without_policy(read_regular(path, MOST_CONFIG_BYTES).decode() if path.exists() else "")
    replace_atomically(path, text.rstrip("\n") + "\n" + policy)
