"""A server that may not read a file of keys or of TLS, as the user of a container, says whose it is and what to do."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.processes import completed, server_command, without_settings

OTHER = 10001
# What lets root read everything, which a container drops.
DROPPED = "-dac_override,-dac_read_search"
IS_ROOT = os.geteuid() == 0
AS_ANYBODY = ("setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}") if IS_ROOT else ()
pytestmark = pytest.mark.skipif(IS_ROOT and shutil.which("setpriv") is None, reason="no setpriv (util-linux)")


def refusal(*flags: str | Path) -> str:
    """The error of a start with these flags."""
    done = completed([*AS_ANYBODY, *server_command(*flags)], env=without_settings())
    assert done.returncode == 2, done.stderr
    return done.stderr


def close(path: Path, right: str) -> str:
    """Closes a file or a folder to the server, and returns the remedy."""
    if IS_ROOT:
        os.chown(path, OTHER, OTHER)
        path.chmod(0o700 if right == "x" else 0o600)
        return f"belongs to user {OTHER} with mode 0{700 if right == 'x' else 600}, and this program runs as user 0 of"
    path.chmod(0)
    return f"belongs to user {os.geteuid()} with mode 0000, and this program runs as user {os.geteuid()} of"


def remedy(path: Path, right: str) -> str:
    return f"chown 0 {path}" if IS_ROOT else f"chmod u+{right} {path}"


def test_keys_of_another_user_are_named_with_the_user_who_must_own_them(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text("")
    whose = close(keys, "r")
    said = refusal("--api-keys", keys)
    assert f"{keys} {whose}" in said
    assert remedy(keys, "r") in said


def test_closed_folder_is_named_in_place_of_the_key_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    certificate = Authority(inner).issue("localhost")
    whose = close(inner, "x")
    try:
        said = refusal("--tls-certificate", certificate["tls_certificate"], "--tls-key", certificate["tls_key"])
    finally:
        inner.chmod(0o755)  # for pytest to remove it
    assert f"{inner} {whose}" in said
    assert remedy(inner, "x") in said


def test_file_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    said = refusal("--api-keys", tmp_path / "keys.toml")
    assert "No such file" in said
    assert "chown" not in said
