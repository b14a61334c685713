"""What training writes is what serving reads: names, signature, and the committed version."""

import json
from pathlib import Path

import numpy as np
import pytest

from serving.drift.reference import FEATURES, read_reference
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import INPUT, OUTPUTS, OnnxSession
from serving.models.repository import ModelRepository
from training.export.drift_reference import EDGES, SCHEMA_VERSION, histogram

ROOT = Path(__file__).parents[2]
LARGEST = 64
MODELS = ("mnist", "mnist-accurate", "mnist-cascade", "mnist-cascade-int8", "mnist-int8")


@pytest.fixture(scope="module", params=MODELS)
def committed(request: pytest.FixtureRequest) -> LoadedModel:
    repository = ModelRepository(ROOT / "models", request.param)
    return repository.load(0, lambda graph, _: OnnxSession(graph, "cpu", threads=1), LARGEST)


def test_the_committed_model_passes_every_check_of_the_server(committed: LoadedModel) -> None:
    assert committed.name in MODELS
    assert committed.test_accuracy >= 0.9945
    assert 0 < committed.novelty_threshold < 1


def test_the_committed_model_reads_real_digits(committed: LoadedModel) -> None:
    digits = np.load(ROOT / "tests/data/digits.npz")
    answers = committed.session.run(digits["pixels"])
    assert (answers.digits == digits["label"]).mean() > 0.985
    assert (answers.novelties > committed.novelty_threshold).mean() < 0.02


def test_the_committed_model_refuses_what_is_no_digit(committed: LoadedModel) -> None:
    generator = np.random.default_rng(0)
    grid = np.zeros((28, 28), np.uint8)
    grid[::4] = grid[:, ::4] = 255
    no_digits = {
        "blank": np.zeros(784, np.uint8),
        "black": np.full(784, 255, np.uint8),
        "noise": generator.integers(0, 256, 784, np.uint8),
        "grid": grid.reshape(-1),
    }
    novelty = committed.session.run(np.stack(list(no_digits.values()))).novelties
    accepted = [name for name, value in zip(no_digits, novelty, strict=True) if value <= committed.novelty_threshold]
    assert accepted == []


def test_answers_do_not_depend_on_the_batch_they_came_in(committed: LoadedModel) -> None:
    pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"][:65]
    together = committed.session.run(pixels).probabilities
    alone = np.concatenate([committed.session.run(pixels[i : i + 1]).probabilities for i in range(len(pixels))])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_config_pbtxt_describes_the_same_tensors(model: str) -> None:
    text = (ROOT / "models" / model / "config.pbtxt").read_text()
    assert f'name: "{model}"' in text
    for name, _, _ in (INPUT, *OUTPUTS):
        assert f'"{name}"' in text


def test_training_bins_every_feature_that_the_server_observes() -> None:
    assert set(EDGES) == set(FEATURES)
    values = {name: np.array([*edges, edges[-1] + 1], np.float32) for name, edges in EDGES.items()}
    content = {
        name: {"edges": EDGES[name], "populations": {"a": histogram(name, each)}} for name, each in values.items()
    }
    reference = read_reference(json.dumps({"schema_version": SCHEMA_VERSION, "features": content}).encode())
    for name, feature in reference.features.items():
        assert feature.populations["a"] == (1,) * len(feature.bins), name  # a limit belongs to the bin below it
