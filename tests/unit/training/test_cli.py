"""Flags, variables, errors and exit statuses, without TensorFlow."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from training.cli import PREFIX, main, training
from training.command_line import COLUMNS, run_command, settings_options
from training.config import ColumnsConfig, Places
from training.data.mnist import CHECKSUMS
from training.errors import RunError


def _failed(arguments: Sequence[str], capsys: pytest.CaptureFixture[str], status: int = 1) -> str:
    """The one error that a command ends with."""
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error


@click.command()
@click.option("--count", type=int, default=1)
@settings_options(["epochs"])
def example(places: Places, settings: dict[str, int], count: int) -> None:
    """Print what it got."""
    print(places.runs_folder, settings.get("epochs"), count)


@click.command()
@settings_options(COLUMNS, ColumnsConfig())
def columns_example(places: Places, settings: dict[str, int]) -> None:
    """Print what it got."""
    print(places.runs_folder, settings)


def _example(*arguments: str) -> int:
    return run_command(example, arguments, "example", "MNIST_EXAMPLE")


@pytest.mark.parametrize("command", ["columns", "data", "train", "evaluate", "export", "report", "run", "samples"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "--cache-folder" in capsys.readouterr().out


def test_help_lists_every_command_and_says_how_variables_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in training.commands)
    assert "MNIST_TRAIN_EPOCHS=5" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'"),
        ([], "Missing command"),
        (["train", "--epoch", "3"], "No such option"),
        (["train", "--epochs", "three"], "Invalid value for '--epochs'"),
        (["train", "--filters", "4,x"], "'4,x' is not a list of whole numbers, such as 16,48,96"),
        (["data", "--epochs", "3"], "No such option"),
    ],
)
def test_what_cannot_be_understood_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = _failed(arguments, capsys, status=2)
    assert message in error
    assert "--help`" in error
    assert error.count("\n") == 1


def test_flags_win_over_variables_over_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.toml").write_text('[places]\nruns_folder = "file"\n[training]\nepochs = 3\n')
    config = ["--config", str(tmp_path / "settings.toml")]
    assert [_example(), _example(*config)] == [0, 0]
    monkeypatch.setenv("MNIST_EXAMPLE_RUNS_FOLDER", "variable")
    monkeypatch.setenv("MNIST_EXAMPLE_EPOCHS", "4")
    monkeypatch.setenv("MNIST_EXAMPLE_COUNT", "5")
    assert [_example(*config), _example(*config, "--epochs", "6", "--count", "7")] == [0, 0]
    assert capsys.readouterr().out.splitlines() == ["runs None 1", "file 3 1", "variable 4 5", "variable 6 7"]


def test_settings_of_the_column_network_have_defaults_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["columns", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "passes over the strips (default: 14)" in shown
    assert "(default: 90000)" in shown
    (tmp_path / "settings.toml").write_text('[places]\nruns_folder = "file"\n[training]\nepochs = 3\n')
    monkeypatch.setenv("MNIST_EXAMPLE_STRIPS", "5")
    command = ["--config", str(tmp_path / "settings.toml"), "--threads", "1"]
    assert run_command(columns_example, command, "example", "MNIST_EXAMPLE") == 0
    assert capsys.readouterr().out == "file {'strips': 5, 'threads': 1}\n"  # the file's are of the digit network


def test_an_empty_variable_counts_as_not_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RUNS_FOLDER", "EPOCHS", "COUNT", "CONFIG"):
        monkeypatch.setenv(f"MNIST_EXAMPLE_{name}", "")
    assert _example() == 0
    assert capsys.readouterr().out == "runs None 1\n"


def test_a_variable_with_a_bad_value_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MNIST_TRAIN_EPOCHS", "three")
    assert "Invalid value for MNIST_TRAIN_EPOCHS: 'three' is not a valid integer" in _failed(["train"], capsys, 2)


def test_an_unknown_variable_is_named_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MNIST_TRAIN_EPOCH", "3")
    error = _failed(["data"], capsys, 2)
    assert "MNIST_TRAIN_EPOCH; did you mean MNIST_TRAIN_EPOCHS?" in error


def test_every_flag_of_every_command_has_one_variable() -> None:
    prefixes = {each.context_settings.get("auto_envvar_prefix") for each in training.commands.values() if each.params}
    assert prefixes <= {PREFIX, None}
    with_settings = [each for each in training.commands.values() if len(each.params) > 5]
    assert all(each.context_settings["auto_envvar_prefix"] == PREFIX for each in with_settings)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_at_the_start_ends_a_command_all_the_same(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def waiting() -> None:
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 10)  # ends when a handler has run

    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert run_command(waiting, [], "waiting", "MNIST_EXAMPLE") == 130
        assert signal.getsignal(number) is signal.SIG_IGN  # as it was
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err.strip() == "stopped"


def test_an_error_of_the_package_is_one_message_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def failing() -> None:
        raise RunError("there is no run; begin one")

    assert run_command(failing, [], "failing", "MNIST_EXAMPLE") == 1
    assert capsys.readouterr().err == "error: there is no run; begin one\n"


def test_a_bad_setting_in_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.toml").write_text("[training]\nepoch = 3\n", encoding="utf-8")
    error = _failed(["train", "--config", str(tmp_path / "settings.toml")], capsys)
    assert "settings.toml: there is no setting 'epoch'" in error


def test_a_damaged_cache_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mnist").mkdir()
    for name in CHECKSUMS:
        (tmp_path / "mnist" / name).write_bytes(b"half a file")
    error = _failed(["data", "--cache-folder", str(tmp_path)], capsys)
    assert "train-images-idx3-ubyte is damaged" in error
    assert "Delete the folder" in error


def test_a_backend_that_training_has_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "KERAS_BACKEND = 'torch' must be one of tensorflow, jax" in _failed(["train"], capsys)


def test_the_column_network_says_that_it_needs_tensorflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "the column network needs TensorFlow: unset KERAS_BACKEND" in _failed(["columns"], capsys)
