"""The weights of a network as arrays by variable path, and back."""

import keras
import numpy as np

from training.config import TrainingConfig
from training.data.arrays import Weights
from training.errors import RunError
from training.network.architecture import build_network


def network_weights(network: keras.Model) -> Weights:
    """The weights that inference uses, by variable path, such as `convolution_1/kernel`."""
    return {each.path: np.asarray(each) for each in network.weights}


def network_from_weights(config: TrainingConfig, weights: Weights) -> keras.Model:
    """The network that `network_weights` was taken from.

    Raises:
        RunError: the weights belong to another network.
    """
    network = build_network(config)
    if {each.path: tuple(each.shape) for each in network.weights} != {k: v.shape for k, v in weights.items()}:
        raise RunError("these weights belong to another network than this code builds with these settings")
    for each in network.weights:
        each.assign(weights[each.path])
    return network
