"""The comparison of speeds: what a version computes counts, and not what it waits for on a busy machine."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import ModelRejectedError
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.predictions import BatchPredictions, Pixels
from serving.process.promotion import PromotionGate
from tests.support.tiny_model import load_version, slow_graph, write_tiny_version

PAUSE_SECONDS = 0.01
MANY, SOME = (
    1024,
    64,
)  # images: the tiny model takes a tenth of the pause for MANY, the slow one twice the pause for SOME
GATE = PromotionGate(is_manual=False, max_slowdown=3.0, max_quality_drop=0.0)


class PausedSession(OnnxSession):
    """Session whose thread is stopped for a while, as in a container that has used up its share of processors."""

    def run(self, pixels: Pixels) -> BatchPredictions:
        threading.Event().wait(PAUSE_SECONDS)
        return super().run(pixels)


def paused(folder: Path, model: LoadedModel, threads: int = 1) -> LoadedModel:
    return replace(model, session=PausedSession((folder / "model.onnx").read_bytes(), "cpu", threads))


def test_version_that_was_not_given_the_processor_is_not_slow(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    model = load_version(tmp_path)
    GATE.check_speed(paused(folder, model), model, MANY)


def test_version_that_computes_for_long_is_slow_also_next_to_one_that_waits(tmp_path: Path) -> None:
    served = paused(write_tiny_version(tmp_path), load_version(tmp_path))
    write_tiny_version(tmp_path, 2, slow_graph())
    with pytest.raises(ModelRejectedError, match="times as long as the served version 1") as refused:
        GATE.check_speed(load_version(tmp_path, 2), served, SOME)
    assert refused.value.check == "slow"


def test_time_of_threads_or_a_card_that_compute_for_the_caller_counts(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    model = load_version(tmp_path)
    with pytest.raises(ModelRejectedError, match="times as long"):
        GATE.check_speed(paused(folder, model, threads=2), model, SOME)
