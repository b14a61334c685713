"""A run on disk: `run.json` is its record, `checkpoint.npz` its state, `weights.npz` its result."""

import dataclasses
import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.config import FORMER_SETTINGS, TrainingConfig, apply_settings
from training.data.arrays import Weights
from training.environment import GitState
from training.errors import ConfigError, RunError
from training.files import write_atomically

MAY_DIFFER = ("seed", "data_seed", "epochs", "other_handwriting_images")  # settings of a committee's members


@dataclass(frozen=True, slots=True)
class Member:
    """A run whose network is a column of a committee, with what may differ between members."""

    run: str
    seed: int
    data_seed: int
    epochs: int
    other_handwriting_images: int
    revision: str  # of the code that trained it


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Record of a run: written when it begins, and again when other code resumes it."""

    config: TrainingConfig
    git: GitState
    libraries: Mapping[str, str]
    processor: str
    started: str
    members: tuple[Member, ...] = ()  # of a committee; none: its columns were trained together
    backend: str = "tensorflow"  # of Keras; a run that does not name it is from before there was another


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def name(self) -> str:
        """The name that --run takes."""
        return self.path.name

    @property
    def checkpoint(self) -> Path:
        """State of the run; replaced after each epoch."""
        return self.path / "checkpoint.npz"

    @property
    def weights(self) -> Path:
        """The result; there when the run is finished."""
        return self.path / "weights.npz"

    @property
    def metrics(self) -> Path:
        """Figures, written by `evaluate`."""
        return self.path / "metrics.json"

    @property
    def has_begun(self) -> bool:
        """True once a run has begun here."""
        return (self.path / "run.json").exists()

    @property
    def is_finished(self) -> bool:
        """True once all epochs have run."""
        return self.weights.exists()

    def remove(self) -> None:
        """Delete the run and all it has computed."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_record(self, record: RunRecord) -> None:
        """Begin the run, or say that other code goes on with it."""
        self.write_json("run.json", dataclasses.asdict(record))

    def read_record(self) -> RunRecord:
        """Read the run's record.

        Raises:
            RunError: there is no such run, or its file is damaged.
        """
        if not self.has_begun:
            raise RunError(
                f"there is no run {self.name!r} in {self.path.parent}: begin it with `python -m training train`"
            )
        try:
            fields = self.read_json("run.json")
            config = apply_settings(TrainingConfig(), {**FORMER_SETTINGS, **fields.pop("config")}, "run.json")
            git = GitState(**fields.pop("git"))
            # Members of a record from before they could differ are as the whole.
            whole = {name: getattr(config, name) for name in MAY_DIFFER} | {"revision": git.revision}
            members = tuple(Member(**{**whole, **each}) for each in fields.pop("members", ()))
            return RunRecord(config=config, git=git, members=members, **fields)
        except (ConfigError, KeyError, TypeError) as error:
            raise RunError(f"{self.path}/run.json is not of this version ({error}): use --restart") from error

    def write_weights(self, weights: Weights) -> None:
        """Finish the run."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **weights)
        write_atomically(self.weights, buffer.getvalue())

    def read_weights(self) -> Weights:
        """The result of the run.

        Raises:
            RunError: the run is not finished, or the file is damaged.
        """
        if not self.is_finished:
            raise RunError(f"the run {self.name!r} is not finished: go on with `python -m training train --resume`")
        try:
            with np.load(io.BytesIO(self.weights.read_bytes()), allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{self.weights} is damaged ({error}): train again with --restart") from error

    def write_json(self, name: str, content: Any) -> None:
        """Replace one of the run's JSON files."""
        write_atomically(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """The content of one of the run's JSON files.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"the run {self.name!r} has no {name} yet") from error
        except ValueError as error:
            raise RunError(f"{self.path / name} is damaged ({error})") from error
