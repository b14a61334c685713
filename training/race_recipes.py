"""How our side trains for each target. Chosen on validation rows (docs/training.md says how); nothing else is tuned."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network and a schedule: the rate rises in a straight line, then falls along half a cosine to zero."""

    filters: tuple[int, ...]  # of each convolution
    dense_units: int
    epochs: float  # passes over the rows
    batch_size: int
    learning_rate: float  # at its highest
    dropout: float = 0.0  # share of hidden units
    averaging: float = 0.98  # how much of the average weights each step keeps
    shift_pixels: int = 1  # how far images are moved, in whole pixels on each axis
    handwriting: bool = False  # whether images are also bent, turned, thickened as the pipeline's are
    label_smoothing: float = 0.1  # share of the label spread over all digits
    warmup: float = 0.2  # share of the steps in which the rate rises


RECIPES: Mapping[float, Recipe] = MappingProxyType(
    {
        0.99: Recipe((16, 32, 64), dense_units=64, epochs=1.5, batch_size=128, learning_rate=0.03),
        0.994: Recipe(
            (16, 48, 96), dense_units=128, epochs=6, batch_size=128, learning_rate=0.02, dropout=0.3, averaging=0.99
        ),
        0.996: Recipe(
            (16, 48, 96),
            dense_units=128,
            epochs=16,
            batch_size=128,
            learning_rate=0.02,
            dropout=0.3,
            averaging=0.995,
            shift_pixels=0,
            handwriting=True,
        ),
    }
)
