"""Work of one task: reads a shard, classifies it and writes its results."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from serving.bulk.blocks import Block
from serving.bulk.inputs import blocks
from serving.bulk.job import BulkError, Job, Model, Shard
from serving.bulk.results import Answers, written
from serving.image.picture import Quality
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import BatchPredictions, Pixels, Refusal

BATCH_ROWS = 64  # of one inference: larger batches are not faster on one thread


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task did."""

    number: int  # of its shard
    rows: int


def classify(job: Job, shard: Shard) -> Outcome:
    """Classifies a shard into its file. Running it twice gives the same file.

    Raises BulkError, ModelRejectedError or OSError; then there is no file, or that of an earlier run.
    """
    model = _model(job.model)
    rows = 0
    with written(job, shard.number) as writer:
        for block in blocks(shard, job):
            writer.write(answers(model, block))
            rows += len(block.ids)
    return Outcome(shard.number, rows)


def answers(model: LoadedModel, block: Block) -> Answers:
    """Classifies the rows of a block. A row on which the model fails has an error, and the others have answers."""
    errors = dict(block.errors)
    parts = []
    for first in range(0, len(block.ids), BATCH_ROWS):
        pixels = block.pixels[first : first + BATCH_ROWS]
        try:
            parts.append(model.run(pixels))
        except Exception:  # ONNX Runtime raises many kinds; one row of the batch may be at fault
            parts += [_single(model, pixels[row : row + 1], first + row, errors) for row in range(len(pixels))]
    digits = np.concatenate([part.digits for part in parts])
    refusals = np.concatenate([part.refusals for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    quality = block.quality if block.quality is not None else np.zeros(len(digits), np.uint8)
    several = (quality & Quality.SEVERAL_GLYPHS != 0) & (refusals == Refusal.NONE)
    return Answers(
        block.ids,
        digits,
        probabilities[np.arange(len(digits)), digits],
        np.concatenate([part.novelties for part in parts]),
        np.where(several, np.uint8(Refusal.SEVERAL_GLYPHS), refusals),
        quality,
        errors,
    )


def open_model(model: Model, version: int) -> LoadedModel:
    """Loads a version, checks it and warms it up, on one thread of the CPU. Raises ModelRejectedError."""
    repository = ModelRepository(
        Path(model.repository),
        model.name,
        Path(model.public_key) if model.public_key else None,
        Path(model.folder) if model.folder else None,
    )
    return repository.load(version, lambda graph, _: OnnxSession(graph, "cpu", 1), BATCH_ROWS, model.precision)


def _single(model: LoadedModel, pixels: Pixels, row: int, errors: dict[int, str]) -> BatchPredictions:
    try:
        return model.run(pixels)
    except Exception:  # as above; the messages of ONNX Runtime are for developers
        errors.setdefault(row, "the model failed on this image")
        return BatchPredictions(np.zeros((1, 10), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32))


@lru_cache(maxsize=1)
def _model(model: Model) -> LoadedModel:
    """Loads the job's model once in each process. Raises BulkError where its file is another than the job's."""
    loaded = open_model(model, model.version)
    if loaded.sha256 != model.sha256:
        raise BulkError(f"version {model.version} of {model.name} is another here than where the job began")
    return loaded
