"""A sweep trains each of its trials once, also where a node is lost, and goes on where it stopped."""

import json
from pathlib import Path

import click
import numpy as np
import pytest

from tests.support.ray_network import played
from training.cli import main
from training.command_line import varied_values
from training.commands.sweep import plan
from training.config import default_cache_folder
from training.errors import ConfigError, RunError

TINY_FLAGS = [
    *("--threads", "1", "--degraded", "0", "--train-images", "1280", "--validation-images", "320"),
    *("--filters", "4,4,4", "--dense-units", "8", "--synthetic-images", "0", "--other-handwriting-images", "0"),
]


def test_trials_are_all_combinations() -> None:
    values = varied_values(["learning-rate=0.003,0.001", "filters=4,4;8,8"])
    trials = plan({"epochs": 2}, [1, 2], values)
    assert len(trials) == 8
    assert trials[0] == {"epochs": 2, "learning_rate": 0.003, "filters": (4, 4), "seed": 1}
    assert trials[-1] == {"epochs": 2, "learning_rate": 0.001, "filters": (8, 8), "seed": 2}
    assert plan({}, [], {}) == [{}]


def test_trials_that_cannot_be_are_refused() -> None:
    for text in ("epochs", "nothing=1", "cache_folder=x"):
        with pytest.raises(click.UsageError, match="SETTING=V"):
            varied_values([text])
    with pytest.raises(click.BadParameter):
        varied_values(["epochs=x"])
    with pytest.raises(ConfigError, match="epochs"):
        plan({}, [], {"epochs": [0]})
    with pytest.raises(RunError, match="1 to 1000"):
        plan({}, range(2000), {})


@pytest.mark.usefixtures("mnist")
@pytest.mark.serial
@pytest.mark.long
def test_a_lost_trial_goes_on_from_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, epochs = tmp_path / "runs", 60
    flags = [*TINY_FLAGS, "--epochs", str(epochs), "--seeds", "1,2", "--vary", "learning_rate=0.003,0.001"]
    flags += ["--cache-folder", str(default_cache_folder())]
    seen = played(tmp_path, "tests.integration.training.sweep.ray_sweep", runs, *flags)
    assert seen == {"status": 0, "killed": True}
    histories = [json.loads((runs / f"sweep-{n:03d}/history.json").read_text()) for n in range(4)]
    assert [len(history) for history in histories] == [epochs] * 4
    reports = [json.loads(path.read_text()) for path in (runs / "sweep/tune").glob("*/result.json")]
    assert [report["epochs"] for report in reports] == [epochs] * 4
    assert max(report["epochs_before"] for report in reports) > 0
    # The lost one ends with the weights of a run that nothing disturbed.
    lost = next(report["config"]["trial"] for report in reports if report["epochs_before"])
    again = [*TINY_FLAGS, "--epochs", str(epochs), "--seed", str(lost["settings"]["seed"])]
    again += ["--learning-rate", str(lost["settings"]["learning_rate"]), "--runs-folder", str(tmp_path / "single")]
    assert main(["train", *again, "--cache-folder", str(default_cache_folder())]) == 0
    with (
        np.load(runs / f"sweep-{lost['number']:03d}/weights.npz") as swept,
        np.load(tmp_path / "single/default/weights.npz") as single,
    ):
        assert [name for name in single.files if not np.array_equal(swept[name], single[name])] == []
    # Begun again, it wants --resume; resumed, it has nothing to do, and other trials are refused.
    words = ["sweep", "--runs-folder", str(runs), *flags]
    assert main(words) == 1
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--resume", "--seeds", "1,2,3"]) == 1
    assert "other trials" in capsys.readouterr().err
