import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from training.config import AdaptConfig, Places, TrainingConfig, apply_settings, read_toml
from training.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "there is no setting 'epoch'"),
        ({"epochs": 0}, "epochs = 0 must be at least 1"),
        ({"epochs": 2.5}, "epochs = 2.5 is not a whole number"),
        ({"epochs": True}, "epochs = True is not a whole number"),
        ({"dropout": 1}, "dropout = 1.0 must be between 0 and 0.9"),
        ({"dropout": "much"}, "dropout = 'much' is not a number"),
        ({"learning_rate": float("nan")}, "learning_rate = nan must be at least"),
        ({"filters": [16, 0]}, "filters = 0 must be at least 1"),
        ({"filters": [16, 2.5]}, "filters = [16, 2.5] is not a list of whole numbers"),
        ({"filters": [8] * 5}, "filters has 5 numbers"),
        ({"depths": [1, 2]}, "depths has 2 numbers, but filters has 3"),
        ({"convolution_precision": "float16"}, "convolution_precision = 'float16' must be bfloat16 or float32"),
        ({"batch_size": 9, "train_images": 8}, "batch_size = 9 is more than train_images = 8"),
        ({"interpolation": 0.5}, "interpolation = 0.5 needs a start"),
    ],
)
def test_a_bad_setting_is_refused_by_name_and_origin(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^run\.toml: .*" + re.escape(message)):
        apply_settings(TrainingConfig(), settings, "run.toml")


def test_settings_are_laid_over_the_base() -> None:
    base = TrainingConfig(epochs=7)
    config = apply_settings(base, {"filters": [4, 8], "dropout": 0, "seed": 5}, "flags")
    assert config == dataclasses.replace(base, filters=(4, 8), dropout=0.0, seed=5)
    assert type(config.dropout) is float


def test_a_recorded_configuration_reads_back_as_it_was() -> None:
    config = TrainingConfig(filters=(4, 8), dropout=0.0)
    assert apply_settings(TrainingConfig(), dataclasses.asdict(config), "run.json") == config


def test_every_setting_has_a_help_text() -> None:
    for each in (*dataclasses.fields(TrainingConfig), *dataclasses.fields(Places)):
        assert each.metadata["help"], each.name


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    for each in (*dataclasses.fields(TrainingConfig), *dataclasses.fields(Places)):
        assert f"`{each.name}`" in text, f"docs/training.md does not name the setting {each.name}"


def test_every_setting_of_adapting_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "adapt.md").read_text(encoding="utf-8")
    for each in dataclasses.fields(AdaptConfig):
        assert f"| `{each.name}` | {each.default} | {each.metadata['help']} |" in text


def test_a_settings_file_has_two_tables(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[training]\nepochs = 3\n[places]\ncache_folder = "elsewhere"\n', encoding="utf-8")
    assert read_toml(path) == {"training": {"epochs": 3}, "places": {"cache_folder": "elsewhere"}}


@pytest.mark.parametrize("text", ["epochs = 3", "[trainign]\nepochs = 3", "[training"])
def test_a_settings_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"settings\.toml"):
        read_toml(path)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")
