"""Keras' backend TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from training.errors import RunError


def make_deterministic(threads: int) -> None:
    """Pin TensorFlow's threads and choose kernels that always give the same bits. Before anything is computed.

    Raises:
        RunError: TensorFlow has already started with another number of threads.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise RunError(f"threads = {threads} comes too late: TensorFlow already runs in this process") from error
    tf.config.experimental.enable_op_determinism()


def uniform(shape: Sequence[Any], seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """float32 numbers in [low, high), drawn from the seed (2,) int32."""
    return tf.random.stateless_uniform(shape, seed, low, high)


def integers(shape: Sequence[Any], seed: tf.Tensor, limit: int) -> tf.Tensor:
    """int32 numbers in [0, limit), drawn from the seed (2,) int32."""
    return tf.random.stateless_uniform(shape, seed, 0, limit, tf.int32)


def normal(shape: Sequence[Any], seed: tf.Tensor) -> tf.Tensor:
    """float32 numbers of the standard normal distribution, drawn from the seed (2,) int32."""
    return tf.random.stateless_normal(shape, seed)


def take(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Values (n, m) at `places` (n, ...) int32, each row's from its own."""
    return tf.gather(values, places, batch_dims=1)


def compiled(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """`function`, compiled for this caller alone and gone with it. Arguments are arrays or None.

    Args:
        function: of tensors; it may assign to variables.
        variables: all that it reads or assigns to.
    """
    del variables  # TensorFlow finds them itself
    return tf.function(function)  # type: ignore[no-any-return]  # TensorFlow ships no types


def gradients(
    loss: Callable[[], tuple[tf.Tensor, Any]], network: keras.Model
) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
    """Loss, what else `loss` gives, and the gradients of the network's trainable variables. Inside `compiled`.

    Args:
        loss: runs the network; the loss () and anything else.
        network: what is trained.
    """
    with tf.GradientTape() as tape:
        value, others = loss()
    return value, others, tape.gradient(value, network.trainable_variables)
