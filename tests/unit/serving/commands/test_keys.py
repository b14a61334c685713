from pathlib import Path

import pytest

from serving.auth.api_keys import CLASSIFY, read_keys
from serving.cli import main

BOTH = ["--scopes", "admin", CLASSIFY]


@pytest.mark.parametrize("before", [True, False])
def test_flags_stand_before_or_after_the_verb(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MNIST_TUNE", "maybe")  # no setting of this command
    flags = ["--file", str(tmp_path / "keys.toml"), *BOTH]
    assert main(["keys", *flags, "new", "alice"] if before else ["keys", "new", "alice", *flags]) == 0
    assert read_keys(tmp_path / "keys.toml").names == ["alice"]
    assert "scopes = ['admin', 'classify']" in (tmp_path / "keys.toml").read_text().replace('"', "'")
    assert capsys.readouterr().out
