"""Outputs of a network for images, the mean of its columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from training.backend import Tensor, compiled
from training.data.arrays import CLASSES, SIDE, Floats, Pixels

_BATCH = 500


@dataclass(frozen=True, slots=True)
class NetworkOutputs:
    """Neither calibrated nor squashed: digit logits (n, 10) float32 and novelty logits (n,) float32."""

    logits: Floats
    novelty_logits: Floats


def network_outputs(network: Any, pixels: Pixels) -> NetworkOutputs:
    """Run the network on `pixels` (n, 784) uint8; the mean of its columns."""
    return compiled_outputs(network)(pixels)


def compiled_outputs(network: Any) -> Callable[[Pixels], NetworkOutputs]:
    """`network_outputs` of one network, traced once for all calls; each call reads the weights of its time."""

    def run(batch: Tensor) -> Tensor:
        return mean_of_columns(network(as_images(batch)[..., np.newaxis], training=False))

    run_batch = compiled(run, network.variables)

    def outputs(pixels: Pixels) -> NetworkOutputs:
        batches = [run_batch(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
        both = np.concatenate([np.asarray(batch) for batch in batches])
        return NetworkOutputs(logits=both[:, :CLASSES], novelty_logits=both[:, CLASSES])

    return outputs


def mean_of_columns(outputs: Tensor) -> Tensor:
    """(n, columns, 11) to (n, 11)."""
    return ops.mean(outputs, axis=1)


def as_images(pixels: Tensor) -> Tensor:
    """(n, 784) uint8 to (n, 28, 28) float32 in 0..1."""
    return ops.reshape(ops.cast(pixels, "float32") / 255.0, [-1, SIDE, SIDE])
