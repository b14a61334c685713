"""`python -m serving versions`: lists a model's versions, pins one, rolls back, unpins, compares a candidate.

The pin is the version_policy in the model's config.pbtxt. Running servers read that file again, this one and Triton.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from serving.commands.compare import compare
from serving.errors import ModelRejectedError
from serving.files import read_regular, replace_atomically
from serving.models.repository import CONFIG, INT8_SUFFIX, MOST_CONFIG_BYTES, ModelRepository
from serving.models.shipped import copy_versions
from serving.options import CONTEXT, CommandGroup, setting_options
from serving.version_policy import LARGEST_VERSION, Candidate

# The field and the brace that opens it, at the start of a line: without_policy() counts braces from there.
_POLICY = re.compile(r"\n*^[ \t]*version_policy[ \t]*:?[ \t\n]*\{", re.MULTILINE)
_SETTINGS = ("model_repository", "model_name", "model_folder", "max_quality_drop", "promote", "shadow", "canary")
_of_a_model = setting_options(_SETTINGS)


@click.group(cls=CommandGroup, context_settings=CONTEXT)
def versions() -> None:
    """Lists a model's versions, chooses which are served, and compares a candidate with the served one."""


versions.add_command(compare)


@versions.command("list", context_settings=CONTEXT)
@_of_a_model
def show(**settings: Any) -> None:
    """Lists the versions and marks those to be served."""
    repository = _Repository(**settings)
    _list(repository)


@versions.command(context_settings=CONTEXT)
@click.argument("version", type=int)
@_of_a_model
def pin(version: int, **settings: Any) -> None:
    """Pins VERSION: serves it and no other."""
    repository = _Repository(**settings)
    with _failures():
        _pin(repository, version)
    _list(repository)


@versions.command(context_settings=CONTEXT)
@_of_a_model
def rollback(**settings: Any) -> None:
    """Pins the version before the one that is served now."""
    repository = _Repository(**settings)
    with _failures():
        highest = max(repository.served(), default=0)
        before = [each for each in _there(repository) if each < highest and each not in repository.candidates]
        if not before:
            raise ModelRejectedError(f"{repository.folder} has no version below {highest} to go back to")
        _pin(repository, before[-1])
    _list(repository)


@versions.command(context_settings=CONTEXT)
@_of_a_model
def unpin(**settings: Any) -> None:
    """Serves the latest version again."""
    repository = _Repository(**settings)
    with _failures():
        repository.wanted(None)  # refuses a config.pbtxt that cannot be read, before it is written
        _write_policy(repository.folder / CONFIG, "")
    _list(repository)


@versions.command(context_settings=CONTEXT)
@setting_options((*_SETTINGS, "shipped_models"))
def copy(shipped_models: Path | None, **settings: Any) -> None:
    """Copies the image's versions of the model that are not there; --shipped-models names their folder."""
    if not shipped_models:
        raise click.UsageError("--shipped-models: name the folder of models to copy from, as the image's variable does")
    repository, name = _Repository(**settings), settings["model_name"]
    with _failures():
        copied, others = copy_versions(ModelRepository(shipped_models, name), repository)
        int8 = f"{name}{INT8_SUFFIX}"
        beside = repository.folder.with_name(f"{repository.folder.name}{INT8_SUFFIX}")
        if (shipped_models / int8).is_dir():
            copy_versions(ModelRepository(shipped_models, int8), ModelRepository(beside, int8, folder=beside))
    click.echo(f"copied: {', '.join(map(str, copied)) or 'none'}")
    for version in others:
        click.echo(
            f"left: {repository.folder}/{version} is another version {version} than the image's: move it away first",
            err=True,
        )
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


class _Repository(ModelRepository):
    """Model repository with the settings that say what a server promotes by itself."""

    def __init__(
        self,
        model_repository: Path,
        model_name: str,
        model_folder: Path | None,
        max_quality_drop: float,
        promote: str,
        shadow: Candidate | None,
        canary: Candidate | None,
    ) -> None:
        super().__init__(model_repository, model_name, folder=model_folder)
        self._max_quality_drop = max_quality_drop
        self._is_manual = promote == "manual"
        self.candidates = {
            each.version: f"waits: --{name} {each}"
            for name, each in {"shadow": shadow, "canary": canary}.items()
            if each
        }

    def held_back(self) -> dict[int, str]:
        """Returns the versions that the policy does not name and that are not promoted, each with the reason."""
        if self.policy().versions:
            return {}
        if self._is_manual:
            others = [version for version in self.versions() if version not in self.candidates]
            return dict.fromkeys(others[1:], "waits: --promote manual") | self.candidates
        worse = self.worse(self._max_quality_drop, self.candidates) if self._max_quality_drop < 1 else {}
        return {version: f"worse: {why}" for version, why in worse.items()} | self.candidates

    def served(self) -> list[int]:
        """Returns the versions to be served, ascending, as far as metadata.json tells."""
        return self.wanted(None, self.held_back())


@contextmanager
def _failures() -> Iterator[None]:
    """Turns errors of the repository into an error of the command, exit status 1."""
    try:
        yield
    except (ModelRejectedError, OSError) as error:
        hint = ""
        if isinstance(error, OSError) and error.errno == errno.EROFS:  # as in the server's own container
            verb = click.get_current_context().info_name
            hint = f": run it where the folder can be written; with Compose: docker compose run --rm versions {verb}"
        raise click.ClickException(f"{error}{hint}") from error


def _list(repository: _Repository) -> None:
    with _failures():
        there, served, held_back = _there(repository), repository.served(), repository.held_back()
    for version in there:
        remark = "to be served" if version in served else held_back.get(version, "")
        click.echo(f"{version}  {remark}" if remark else version)


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
