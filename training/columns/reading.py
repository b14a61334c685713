"""What a column network reads in strips, compared with what stands there."""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from training.columns.strips import BLANK, StripSet
from training.data.arrays import Floats

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Share:
    """Strips that were read whole, and all strips."""

    right: int
    strips: int

    @property
    def share(self) -> float:
        """Strips read whole of all strips."""
        return self.right / self.strips


def read_whole(network: keras.Model, strips: StripSet) -> Mapping[int, Share]:
    """Strips all of whose digits are read rightly, by the number of digits."""
    outputs = network.predict(strips.pixels[..., np.newaxis], _BATCH, verbose=0)
    is_right = np.array(
        [read == list(labels[labels >= 0]) for read, labels in zip(best_path(outputs), strips.labels, strict=True)]
    )
    counts = (strips.labels >= 0).sum(axis=1)
    return {
        int(count): Share(int(is_right[counts == count].sum()), int((counts == count).sum()))
        for count in np.unique(counts)
    }


def best_path(outputs: Floats) -> list[list[int]]:
    """The digits of strips, from outputs (n, frames, 11): the likeliest of each frame, runs as one, without blanks."""
    likeliest: npt.NDArray[np.int64] = outputs.argmax(axis=2)
    starts = np.diff(likeliest, axis=1, prepend=BLANK) != 0
    return [row[kept].tolist() for row, kept in zip(likeliest, starts & (likeliest != BLANK), strict=True)]
