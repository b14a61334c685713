"""Observing answers for drift: what is counted, and what it may cost."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.core.drift import LARGEST_BURST_SECONDS, MOST_IMAGES, DriftObserver
from serving.drift.counts import DriftCounts
from serving.drift.reference import FILE
from serving.drift.windows import DriftWindows
from serving.image.framing import frame
from serving.image.measures import PIXEL_MEASURES
from serving.metrics.merge import values
from serving.models.loaded_model import LoadedModel
from serving.predictions import Pixels
from tests.support.committed_models import committed
from tests.support.processes import ROOT
from tests.support.tiny_model import load_version, rewrite_metadata

DIGITS = np.load(ROOT / "tests" / "data" / "digits.npz")["pixels"]


class Watched:
    """The shipped model with an observer, and what that has counted."""

    def __init__(self, model: LoadedModel, share: float) -> None:
        self.registry = CollectorRegistry()
        self.model: LoadedModel | None = model
        self.observer = DriftObserver(DriftCounts(self.registry), lambda: self.model, share)

    def answer(self, pixels: Pixels, model: LoadedModel) -> None:
        self.observer.observe(model.run(pixels), pixels)

    def counted(self, feature: str) -> int:
        found = values(self.registry.collect())
        return int(sum(value for key, value in found.items() if key[0].endswith("_total") and key[2] == feature))


@pytest.fixture(scope="module")
def shipped() -> LoadedModel:
    return load_version(ROOT / "models")


@pytest.fixture
def watched(shipped: LoadedModel) -> Watched:
    return Watched(shipped, share=1.0)


def test_each_feature_of_an_answered_image_is_counted_once(watched: Watched, shipped: LoadedModel) -> None:
    watched.answer(DIGITS[:50], shipped)
    names = ("digit", "confidence", "novelty", *PIXEL_MEASURES)
    assert {name: watched.counted(name) for name in names} == dict.fromkeys(names, 50)


def test_of_a_large_batch_the_first_images_stand_for_all(watched: Watched, shipped: LoadedModel) -> None:
    watched.answer(DIGITS, shipped)
    assert watched.counted("ink") == watched.counted("digit") == MOST_IMAGES


def test_answers_of_a_version_that_is_not_the_default_are_left_out(watched: Watched, shipped: LoadedModel) -> None:
    watched.answer(DIGITS[:5], shipped)
    predictions = shipped.run(DIGITS[:5])
    predictions.version = 1
    watched.observer.observe(predictions, DIGITS[:5])
    assert watched.counted("ink") == 5


def test_a_version_without_a_reference_is_not_observed(tiny_repository: Path, shipped: LoadedModel) -> None:
    tiny = load_version(tiny_repository)
    watched = Watched(tiny, share=1.0)
    watched.answer(DIGITS[:5], tiny)
    assert watched.counted("ink") == 0
    watched.model = shipped  # swapped in
    watched.answer(DIGITS[:5], shipped)
    assert watched.counted("ink") == 5


@pytest.mark.parametrize("images", [1, 50])
def test_a_reference_of_an_older_release_is_compared_in_the_features_that_it_has(images: int, tmp_path: Path) -> None:
    watched = Watched(load_version(with_older_reference(tmp_path)), share=1.0)
    assert watched.model is not None
    for at in range(0, 300, images):
        watched.answer(DIGITS[at : at + images], watched.model)
    names = ("digit", "confidence", "novelty", *PIXEL_MEASURES)
    counted = dict.fromkeys(names, 300) | {"slant": 0, "aspect": 0}
    assert {name: watched.counted(name) for name in names} == counted
    gauges = values(DriftWindows().with_gauges(list(watched.registry.collect()), now=1.0))
    indexed = {key[2] for key in gauges if key[0] == "mnist_drift_psi"}
    assert indexed == {name for name, count in counted.items() if count}


def with_older_reference(root: Path) -> Path:
    """The shipped version as a release before slant and aspect wrote it."""
    folder = root / "mnist" / "3"
    shutil.copytree(committed("mnist"), folder)
    reference = json.loads((folder / FILE).read_bytes())
    del reference["features"]["slant"], reference["features"]["aspect"]
    content = json.dumps(reference).encode()
    (folder / FILE).write_bytes(content)
    files = json.loads((folder / "metadata.json").read_bytes())["files"]
    rewrite_metadata(folder, version=3, files=files | {FILE: hashlib.sha256(content).hexdigest()})
    return root


def test_pictures_are_counted_by_what_framing_found_in_them(watched: Watched) -> None:
    dark_on_light = np.pad(255 - DIGITS[0].reshape(28, 28), 8, constant_values=255)
    blank = np.full((40, 40), 200, np.uint8)
    watched.observer.observe_pictures([frame(dark_on_light), frame(255 - dark_on_light), frame(blank)])
    found = values(watched.registry.collect())
    assert {key[3]: value for key, value in found.items() if key[2:3] == ("polarity",)} == {
        "dark_on_light": 1,
        "light_on_dark": 1,
    }
    assert found["mnist_drift_observations_total", committed("mnist").name, "remark", "blank"] == 1
    assert (watched.counted("remark"), watched.counted("contrast")) == (3, 2)


def test_observing_takes_its_share_of_the_time_and_no_more(shipped: LoadedModel) -> None:
    """As the batcher calls it: after each batch, if it is due. An observation takes a tenth of a millisecond here."""
    share, cost, batches, predictions = 0.01, 0.0001, 100_000, shipped.run(DIGITS[:1])
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += cost
        return now

    counts = DriftCounts(CollectorRegistry())
    observer, observations = DriftObserver(counts, lambda: shipped, share, clock), 0
    for _ in range(batches):
        now += 0.001
        if now >= observer.due:
            observer.observe(predictions, DIGITS[:1])
            observations += 1
    most = (share * now + LARGEST_BURST_SECONDS) / cost
    assert 0.9 * most <= observations <= most + 1
