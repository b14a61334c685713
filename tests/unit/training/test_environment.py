import shutil
import subprocess
from pathlib import Path

import pytest

from training.environment import current_git_state

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@needs_git
def test_a_clean_checkout_is_its_revision(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("content")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "--quiet", "--message", "first")
    state = current_git_state(tmp_path)
    assert state.revision == _git(tmp_path, "rev-parse", "HEAD").strip()
    assert not state.dirty


@needs_git
def test_a_new_file_makes_it_dirty(tmp_path: Path) -> None:
    test_a_clean_checkout_is_its_revision(tmp_path)
    (tmp_path / "new").write_text("content")
    assert current_git_state(tmp_path).dirty


def test_code_outside_git_is_unknown_and_dirty(tmp_path: Path) -> None:
    state = current_git_state(tmp_path)
    assert state.revision == "0" * 40
    assert state.dirty
