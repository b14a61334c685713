"""What training writes is what serving reads: names, signature, and the committed version."""

from pathlib import Path

import numpy as np
import pytest

from serving.model_repository import ModelRepository, ModelVersion
from serving.onnx_model import INPUT, OUTPUTS, OnnxModel

ROOT = Path(__file__).parents[2]
LARGEST = 64


@pytest.fixture(scope="module")
def committed() -> ModelVersion:
    return ModelRepository(ROOT / "models", "mnist").load(0, lambda graph: OnnxModel(graph, "cpu", threads=1), LARGEST)


def test_the_committed_model_passes_every_check_of_the_server(committed: ModelVersion) -> None:
    assert committed.test_accuracy >= 0.995
    assert 0 < committed.novelty_threshold < 1


def test_the_committed_model_reads_real_digits(committed: ModelVersion) -> None:
    digits = np.load(ROOT / "tests/data/digits.npz")
    answers = committed.model.run(digits["pixels"])
    assert (answers.digit == digits["label"]).mean() > 0.99
    assert (answers.novelty >= committed.novelty_threshold).mean() < 0.02


def test_answers_do_not_depend_on_the_batch_they_came_in(committed: ModelVersion) -> None:
    pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"][:65]
    together = committed.model.run(pixels).probabilities
    alone = np.concatenate([committed.model.run(pixels[i : i + 1]).probabilities for i in range(len(pixels))])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_the_committed_model_is_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "models").rglob("*") if path.is_file()]
    assert sum(sizes) <= 1_500_000


def test_triton_is_told_the_same_tensors() -> None:
    text = (ROOT / "models/mnist/config.pbtxt").read_text()
    for name, _, _ in (INPUT, *OUTPUTS):
        assert f'"{name}"' in text
