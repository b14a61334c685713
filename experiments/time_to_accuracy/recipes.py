"""Our recipe for each target, chosen on validation rows (docs/training.md); the test rows chose nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from training.augmentation.distortion import Augmentation


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network and a schedule: the rate rises in a straight line, then falls along half a cosine to zero."""

    filters: tuple[int, ...]  # of each convolution
    dense_units: int
    epochs: float  # passes over the rows
    batch_size: int
    learning_rate: float  # at its highest
    weight_decay: float = 0.0  # AdamW's, of every variable
    label_smoothing: float = 0.0  # share of the label spread over all digits
    dropout: float = 0.0  # share of hidden units
    averaging: float = 0.98  # how much of the average weights each step keeps
    shift_pixels: int = 0  # how far images are moved, in whole pixels on each axis: next to nothing to compute
    augmentation: Augmentation | None = None  # what else is done to them
    warmup: float = 0.2  # share of the steps in which the rate rises


_TILTED = Augmentation(
    rotation_degrees=10, shear=0.15, scale=0.1, aspect=0.08, shift_pixels=2, elastic_pixels=0, stroke=0, wild=0.15
)
_REDRAWN = Augmentation(
    rotation_degrees=12, shear=0.15, scale=0.12, aspect=0.1, shift_pixels=2, elastic_pixels=1, stroke=0.4, wild=0.15
)

RECIPES: Mapping[float, Recipe] = MappingProxyType(
    {
        0.99: Recipe(
            filters=(16, 32, 64),
            dense_units=64,
            epochs=1.5,
            batch_size=128,
            learning_rate=0.03,
            label_smoothing=0.1,
            shift_pixels=1,
        ),
        0.994: Recipe(
            filters=(16, 48, 96),
            dense_units=128,
            epochs=6,
            batch_size=128,
            learning_rate=0.01,
            weight_decay=0.05,
            label_smoothing=0.05,
            dropout=0.3,
            averaging=0.99,
            augmentation=_TILTED,
        ),
        0.996: Recipe(
            filters=(16, 48, 96),
            dense_units=128,
            epochs=16,
            batch_size=128,
            learning_rate=0.01,
            weight_decay=0.05,
            label_smoothing=0.05,
            dropout=0.3,
            averaging=0.995,
            augmentation=_REDRAWN,
        ),
    }
)
