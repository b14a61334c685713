"""Outputs of finished networks for the batches of a run: computed once, kept for every student of those batches."""

import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from training.backend import Tensor, compiled
from training.config import TrainingConfig
from training.data.arrays import CLASSES
from training.environment import keras_backend
from training.files import write_atomically
from training.fit.batches import Batches
from training.network.outputs import mean_of_columns

# What a batch does not depend on; whatever else is in a configuration may change the images.
_WITHOUT_EFFECT_ON_BATCHES = (
    *(
        "seed",
        "start",
        "interpolation",
        "threads",
        "columns",
        "filters",
        "depths",
        "dense_units",
        "dropout",
        "epochs",
        "convolution_precision",
        "learning_rate",
        "warmup_epochs",
    ),
    *("weight_decay", "label_smoothing", "averaging", "novelty_weight", "teacher", "teacher_weight"),
    *("teacher_temperature", "largest_refused_share", "largest_refused_share_elsewhere"),
)


@dataclass(frozen=True, slots=True)
class Teacher:
    """One or more networks whose mean output is learned.

    `weights_checksum` names them; `folder` keeps their outputs.
    """

    networks: Sequence[Any]
    weights_checksum: str
    folder: Path

    def outputs(self, config: TrainingConfig, batches: Batches, epoch: int) -> npt.NDArray[np.float16]:
        """Outputs for each image of the epoch's steps: (steps, size, 11) float16 logits, as `network` orders them."""
        path = self.folder / self._key(config) / f"epoch-{epoch:03}.npy"
        if not path.exists():
            buffer = io.BytesIO()
            np.save(buffer, self._computed(batches, epoch), allow_pickle=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())
        outputs: npt.NDArray[np.float16] = np.load(path, allow_pickle=False)
        if outputs.shape != (config.steps_per_epoch, batches.size, CLASSES + 1):
            raise RuntimeError(f"{path} has shape {outputs.shape}: this is a bug")
        return outputs

    def _computed(self, batches: Batches, epoch: int) -> npt.NDArray[np.float16]:
        def output(pixels: Tensor, step: Tensor) -> Tensor:
            images = batches.images(pixels, step)[..., np.newaxis]
            return functools.reduce(ops.add, [mean_of_columns(each(images, training=False)) for each in self.networks])

        run = compiled(output, [variable for each in self.networks for variable in each.variables])
        steps = [run(batches.pixels(rows), np.asarray(step, np.int32)) for step, rows in batches.epoch(epoch)]
        return (np.stack([np.asarray(each) for each in steps]) / len(self.networks)).astype(np.float16)

    def _key(self, config: TrainingConfig) -> str:
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in _WITHOUT_EFFECT_ON_BATCHES}
        if keras_backend() != "tensorflow":
            settings["backend"] = keras_backend()  # whose distortions are others
        text = json.dumps([self.weights_checksum, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
