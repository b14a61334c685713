"""Files that come, go and break while a server follows them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from serving.auth.api_keys import new_secret, table
from serving.auth.authenticator import followed_keys
from serving.auth.followed_files import WARN_SECONDS, FollowedFiles
from serving.errors import ConfigError
from serving.logging import get_logger


class Clock:
    """Time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """Content of files without a stamp that tells of a change; None: it cannot be read."""

    content: str | None = "first"

    def read(self) -> str:
        if self.content is None:
            raise ConfigError("files: cannot be read: [Errno 5] Input/output error")
        return self.content


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.floats(0, 200)), max_size=30))
def test_what_was_last_read_is_in_use_and_a_warning_stands_each_minute(steps: list[tuple[str | None, float]]) -> None:
    clock, disk = Clock(), Disk()
    disk.content, in_use, warn_at = None, "older", clock.now + WARN_SECONDS
    with capture_logs() as log:
        followed = FollowedFiles("files", [], disk.read, get_logger(), in_use, clock=clock)
        warnings = 1
        for disk.content, seconds in steps:
            clock.now += seconds
            if clock.now >= warn_at:  # they are looked at again, since what was wrong need not have been in them
                in_use = disk.content or in_use
                warnings += disk.content is None
                warn_at = clock.now + WARN_SECONDS if disk.content is None else float("inf")
            assert followed.current() == in_use
    assert [entry["event"] for entry in log].count("files_not_read") == warnings


def test_without_a_last_good_content_files_that_cannot_be_read_are_an_error() -> None:
    disk = Disk()
    disk.content = None
    with pytest.raises(ConfigError, match="Input/output error"):
        FollowedFiles("files", [], disk.read, get_logger())


def removed(path: Path) -> None:
    path.unlink()


def with_a_mistake(path: Path) -> None:
    path.write_text("half a [")


@pytest.mark.parametrize("break_it", [removed, with_a_mistake])
def test_keys_stay_good_without_their_file_which_is_named_again_each_minute(
    break_it: Callable[[Path], None], tmp_path: Path
) -> None:
    path, clock, secret = tmp_path / "keys.toml", Clock(), new_secret()
    text = table("somebody", secret, ["classify"], 0)
    path.write_text(text)
    with capture_logs() as log:
        keys = followed_keys(path, get_logger(), clock=clock)
        break_it(path)
        for _ in range(181):
            assert keys.current().find(secret)
            clock.now += 1
        said = [entry for entry in log if entry["event"] == "api_keys_not_read"]
        assert len(said) == 4  # at 0, 60, 120 and 180 seconds
        assert all(str(path) in entry["why"] and entry["keys"] == 1 for entry in said)
        path.write_text(text)
        os.utime(path, (1, 1))
        keys.current()
        clock.now += 3 * WARN_SECONDS
        keys.current()
    assert [entry["event"] for entry in log][-1] == "api_keys_read"
