"""Begins a run of the column network, or goes on with one: run.json in its folder says what it is."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from training.config import ColumnsConfig, apply_settings
from training.environment import GitState, current_git_state, library_versions, processor
from training.errors import ConfigError, RunError
from training.fit.run_folder import RunFolder
from training.fit.training_run import check_unchanged, goes_on, make_room


@dataclass(frozen=True, slots=True)
class ColumnsRun:
    """Record of a run: written when it begins, and again when other code resumes it."""

    config: ColumnsConfig
    git: GitState
    libraries: Mapping[str, str]
    processor: str
    started: str


def begin(folder: RunFolder, settings: Mapping[str, Any], resume: bool, restart: bool) -> ColumnsRun:
    """Decide whether a run may go ahead, and write down what it is. Arguments and errors are those of other runs."""
    if goes_on(resume, restart):
        return _resumed(folder, settings)
    config = apply_settings(ColumnsConfig(), settings, "settings")
    make_room(folder, restart)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = ColumnsRun(config, current_git_state(), library_versions(), processor(), started)
    folder.write_json("run.json", dataclasses.asdict(run))
    return run


def _resumed(folder: RunFolder, settings: Mapping[str, Any]) -> ColumnsRun:
    if not folder.has_begun:
        raise RunError(f"there is no run {folder.name!r} in {folder.path.parent}: begin it without --resume")
    try:
        fields = folder.read_json("run.json")
        config = apply_settings(ColumnsConfig(), fields.pop("config"), "run.json")
        run = ColumnsRun(config=config, git=GitState(**fields.pop("git")), **fields)
    except (ConfigError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.path}/run.json is not of a column network, or not of this version ({error}): use --restart,"
            " or another name"
        ) from error
    check_unchanged(folder.name, run.config, settings)
    git = current_git_state()
    if git.revision != run.git.revision and not folder.is_finished:
        # Two revisions made it, so none of them alone can make it again.
        run = dataclasses.replace(run, git=dataclasses.replace(git, dirty=True))
        folder.write_json("run.json", dataclasses.asdict(run))
    return run
