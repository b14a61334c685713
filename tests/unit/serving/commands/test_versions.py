from collections.abc import Callable
from pathlib import Path

import pytest

from serving.cli import main
from serving.commands.versions import versions, without_policy
from serving.models.repository import ModelRepository
from serving.options import run_command

CONFIG = 'name: "mnist"  # ours\nmax_batch_size: 256\n'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    for version in (1, 2, 3):
        (folder / str(version)).mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    return folder


def run(model: Path, *arguments: str) -> int:
    return run_command(versions, ["--model-repository", str(model.parent), *arguments])


def wanted(model: Path) -> list[int]:
    return ModelRepository(model.parent, "mnist").wanted(None)


def test_pin_rollback_and_unpin_leave_the_rest_of_the_file_as_it_was(model: Path) -> None:
    assert wanted(model) == [3]
    assert run(model, "rollback") == 0
    assert wanted(model) == [2]
    assert run(model, "rollback") == 0
    assert wanted(model) == [1]
    assert run(model, "pin", "2") == 0
    assert wanted(model) == [2]
    assert run(model, "unpin") == 0
    assert wanted(model) == [3]
    assert (model / "config.pbtxt").read_text() == CONFIG


def test_a_folder_of_versions_is_listed_whatever_its_name(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model.rename(model.with_name("models"))  # as KServe mounts it
    assert run_command(versions, ["pin", "2", "--model-folder", str(folder)]) == 0
    assert capsys.readouterr().out == "1\n2  to be served\n3\n"


@pytest.mark.parametrize("program", [main, lambda arguments: run_command(versions, arguments[1:])])
def test_flags_stand_before_or_after_the_verb(
    program: Callable[[list[str]], int],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(model.parent)
    folder = Path("list")  # as a verb is named
    folder.mkdir()
    model = model.rename(folder / "mnist")
    flags = ["--model-repository", str(folder), f"--model-name={model.name}"]
    for number, arguments in enumerate(
        (["pin", "1", *flags], [*flags, "pin", "2"], [*flags[:2], "pin", *flags[2:], "3"])
    ):
        assert program(["versions", *arguments]) == 0, capsys.readouterr().err
        assert wanted(model) == [number + 1]
    assert program(["versions", "--model-repository", "list", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3  to be served"


def test_only_the_settings_of_a_model_are_read(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MNIST_TUNE", "maybe")
    monkeypatch.setenv("MNIST_HOST", "0.0.0.0")
    monkeypatch.setenv("MNIST_MODEL_REPOSITORY", str(model.parent))
    assert main(["versions", "list"]) == 0
    monkeypatch.setenv("MNIST_MODEL_NAME", "other")
    assert main(["versions", "list"]) == 1
    assert main(["versions", "--model-name", "mnist", "list"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["1", "2", "3  to be served"] * 2
    assert "there is no model other at" in shown.err


def test_there_is_nothing_before_the_first_version(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(model, "pin", "1")
    assert run(model, "rollback") == 1
    assert "no version below 1 to go back to" in capsys.readouterr().err


def test_a_version_that_is_not_there_is_not_pinned(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "pin", "7") == 1
    assert "holds no version 7, only 1, 2, 3" in capsys.readouterr().err
    assert (model / "config.pbtxt").read_text() == CONFIG


def test_without_a_config_one_is_written(model: Path) -> None:
    (model / "config.pbtxt").unlink()
    assert run(model, "pin", "2") == 0
    assert wanted(model) == [2]


def test_config_that_cannot_be_read_is_reported(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "config.pbtxt").write_text("{")
    assert run(model, "list") == 1
    assert "config.pbtxt: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "policy",
    [
        "version_policy { all { } }",
        "version_policy: { specific: { versions: [1, 2] } }",
        "version_policy: {\n  latest {\n    num_versions: 2\n  }\n}",
    ],
)
def test_a_policy_in_any_of_tritons_forms_is_taken_out_whole(policy: str) -> None:
    assert without_policy(f"{CONFIG}{policy}\ninput [ ]\n").split() == f"{CONFIG}input [ ]".split()


@pytest.mark.parametrize("arguments", [["list"], ["pin", "1"], ["rollback"]])
def test_model_without_a_version_says_what_a_version_is(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "mnist"
    (model / "v1").mkdir(parents=True)
    assert run(model, *arguments) == 1
    assert "named by a whole number" in capsys.readouterr().err
    assert not (model / "config.pbtxt").exists()


def test_a_number_that_no_server_takes_is_listed_and_never_pinned(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / str(2**63)).mkdir()
    assert run(model, "list") == 0
    assert capsys.readouterr().out.splitlines() == ["1", "2", "3  to be served", str(2**63)]
    assert run(model, "pin", str(2**63)) == 1
    assert f"holds no version {2**63}, only 1, 2, 3" in capsys.readouterr().err
    assert run(model, "rollback") == 0
    assert wanted(model) == [2]


def test_copy_names_what_it_copied_and_takes_the_int8_form_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, volume = tmp_path / "image", tmp_path / "volume"
    for folder in ("mnist/1", "mnist/2", "mnist-int8/1"):
        (shipped / folder).mkdir(parents=True)
        (shipped / folder / "metadata.json").write_text(folder)
    (volume / "mnist/1").mkdir(parents=True)
    copy = ["--model-repository", str(volume), "copy", "--shipped-models", str(shipped)]
    assert run_command(versions, copy) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["copied: 2", "1", "2  to be served"]
    assert f"left: {volume}/mnist/1 is another version 1" in shown.err
    assert (volume / "mnist-int8/1/metadata.json").read_text() == "mnist-int8/1"


def test_copy_without_the_images_folder_names_the_flag(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "copy") == 2
    assert "--shipped-models" in capsys.readouterr().err
