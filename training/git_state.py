"""Which revision of the code is running, and whether the working tree differs from it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNKNOWN = "0" * 40


@dataclass(frozen=True, slots=True)
class GitState:
    """`revision` is 40 hexadecimal digits, all zeros outside a git checkout; `dirty`: files differ or are new."""

    revision: str
    dirty: bool


def current_git_state(folder: Path = Path(__file__).parent) -> GitState:
    """The state of the checkout that `folder` is in; unknown code counts as dirty."""
    try:
        revision = _git(folder, "rev-parse", "HEAD").strip()
        return GitState(revision, dirty=bool(_git(folder, "status", "--porcelain").strip()))
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or no commit yet
        return GitState(_UNKNOWN, dirty=True)


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
