"""All that changes while training: the network, its running average, the optimizer. Saved and restored as arrays."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from training.backend import Tensor
from training.config import TrainingConfig
from training.data.arrays import Arrays
from training.errors import RunError
from training.network.architecture import build_network, network_from_weights
from training.network.unfolding import settle, unfolded


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Two networks of one shape and the optimizer of the first.

    `average` follows `network` with a lag: its weights, and the statistics of its normalization layers, are the
    exponential average over the last steps. It is the one that is evaluated and exported.
    """

    network: keras.Model
    average: keras.Model
    optimizer: keras.optimizers.Optimizer

    def arrays(self) -> Arrays:
        """Every variable by a name of its own."""
        return {name: np.asarray(variable) for name, variable in self._variables().items()}

    def restore(self, arrays: Arrays) -> None:
        """Take the values that `arrays()` gave.

        Raises:
            RunError: they belong to a network or an optimizer of another shape.
        """
        variables = self._variables()
        if {name: np.shape(value) for name, value in arrays.items()} != {
            name: tuple(variable.shape) for name, variable in variables.items()
        }:
            raise RunError(
                "the checkpoint belongs to another network than this code builds."
                " Go back to the revision that began the run, or begin it again with --restart"
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])

    def _variables(self) -> dict[str, keras.Variable]:
        # Weights only: the state of dropout's generator is no memory, the trainer sets it before every step.
        parts = (
            ("network", self.network.weights),
            ("average", self.average.weights),
            ("adamw", self.optimizer.variables),
        )
        return {f"{part}/{each.path}": each for part, variables in parts for each in variables}


def new_state(config: TrainingConfig) -> TrainingState:
    """The state before the first step; the same seed gives the same weights."""
    keras.utils.set_random_seed(config.seed)
    network, average = build_network(config, config.convolution_precision), build_network(config)
    average.set_weights(network.get_weights())
    optimizer = keras.optimizers.AdamW(_learning_rate(config), weight_decay=config.weight_decay, name="optimizer")
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
    optimizer.build(network.trainable_variables)
    return TrainingState(network, average, optimizer)


def start_from(state: TrainingState, config: TrainingConfig, images: Tensor) -> None:
    """Give a new state the weights of the model file that `config.start` names.

    Args:
        state: as `new_state` left it.
        config: its settings.
        images: (n, 28, 28) float32 in 0..1, some that training will show.

    Raises:
        RunError: the file cannot be used, or holds another network.
    """
    restored = network_from_weights(config, unfolded(Path(config.start), config))
    settle(restored, images)
    for network in (state.network, state.average):
        network.set_weights(restored.get_weights())


def _learning_rate(config: TrainingConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    warmup_steps = min(round(config.warmup_epochs * config.steps_per_epoch), config.epochs * config.steps_per_epoch - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else config.learning_rate,
        decay_steps=config.epochs * config.steps_per_epoch - warmup_steps,
        warmup_target=config.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
