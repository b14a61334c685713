"""What is remembered of one epoch: a row of a run's history. Plain data, so that no reader needs TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of a run's history. Losses are mean cross-entropies in nats."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
