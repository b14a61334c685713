"""One task gives each row the model's answer, or the reason why there is none."""

from pathlib import Path

import numpy as np
import pytest

from serving.bulk.blocks import Block
from serving.bulk.job import BulkError, Model
from serving.bulk.progress import Progress
from serving.bulk.worker import BATCH_ROWS, answers, classify
from serving.image.picture import Quality
from serving.predictions import Refusal
from tests.support.bulk_inputs import OF_PIXELS, a_job, planned, some_pixels
from tests.support.tiny_model import image_of, image_that_fails, load_version, write_tiny_version


def test_an_image_on_which_the_model_fails_is_one_row_with_the_reason(tmp_path: Path) -> None:
    write_tiny_version(tmp_path)
    images = [image_of(row % 10) for row in range(3 * BATCH_ROWS)]
    images[70] = image_that_fails()
    pixels = np.frombuffer(b"".join(images), np.uint8).reshape(-1, 784)
    found = answers(load_version(tmp_path), Block([str(row) for row in range(len(images))], pixels))
    assert found.errors == {70: "the model failed on this image"}
    assert [row for row in range(len(images)) if found.digits[row] != row % 10] == []
    assert float(found.probabilities.max()) > 0.9


def test_blank_and_several_are_refused_and_errors_stay(tmp_path: Path) -> None:
    write_tiny_version(tmp_path)
    pixels = np.frombuffer(image_of(1) + bytes(784) + image_of(3), np.uint8).reshape(3, 784)
    quality = np.array([Quality.SEVERAL_GLYPHS, Quality.BLANK, 0], np.uint8)
    found = answers(load_version(tmp_path), Block(["a", "b", "c"], pixels, quality, {2: "cut"}))
    assert found.refusals.tolist()[:2] == [Refusal.SEVERAL_GLYPHS, Refusal.BLANK]
    assert [row[4:] for row in found.rows()] == [
        ("several_glyphs", "several_glyphs", None),
        ("blank", "blank", None),
        ("", "", "cut"),
    ]


def test_a_task_refuses_another_model_than_the_jobs(tmp_path: Path) -> None:
    write_tiny_version(tmp_path / "models")
    (tmp_path / "in.npy").write_bytes(OF_PIXELS["images.npy"](some_pixels(10)))
    model = Model(str(tmp_path / "models"), "mnist", "", "", 1, "auto", "0" * 64)
    job = a_job(tmp_path / "in.npy", tmp_path / "out", model=model)
    with pytest.raises(BulkError, match="another here"):
        classify(job, planned(job)[0])


def test_progress_says_rate_and_time_left() -> None:
    progress = Progress(done=1000, total=10_000)
    progress.add(3000)
    assert progress.line(seconds=30.0) == "4,000 of 10,000 rows (40%), 100 a second, 1 min 0 s left"
    unknown = Progress(done=0, total=None)
    unknown.add(500)
    assert unknown.line(seconds=5.0) == "500 rows, 100 a second"
