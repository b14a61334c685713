"""Keras' backend JAX: the functions of `on_tensorflow`. Its draws are others than TensorFlow's."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras

from training.errors import RunError

_DETERMINISTIC = "--xla_gpu_deterministic_ops"

jax.config.update("jax_default_matmul_precision", "highest")  # or float32 would be TF32 on a card
_threads: int | None = None  # that XLA has been given


def make_deterministic(threads: int) -> None:
    """Pin XLA's threads and choose kernels that always give the same bits. Before anything is computed.

    Raises:
        RunError: it was called with another number of threads before.
    """
    global _threads
    if _threads not in (None, threads):
        raise RunError(f"threads = {threads} comes too late: JAX already runs in this process with {_threads}")
    if _threads is None:
        os.environ["NPROC"] = str(threads)  # XLA reads it when it starts; it has no other setting for its pool
        flags = os.environ.get("XLA_FLAGS", "")
        if _DETERMINISTIC not in flags:  # who sets it to false there, because a card's kernels lack it, gets that
            os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}=true".strip()
        _threads = threads


def uniform(shape: Sequence[int], seed: jax.Array, low: float = 0.0, high: float = 1.0) -> jax.Array:
    """float32 numbers in [low, high), drawn from the seed (2,) int32."""
    return jax.random.uniform(_key(seed), tuple(shape), "float32", low, high)


def integers(shape: Sequence[int], seed: jax.Array, limit: int) -> jax.Array:
    """int32 numbers in [0, limit), drawn from the seed (2,) int32."""
    return jax.random.randint(_key(seed), tuple(shape), 0, limit, "int32")


def normal(shape: Sequence[int], seed: jax.Array) -> jax.Array:
    """float32 numbers of the standard normal distribution, drawn from the seed (2,) int32."""
    return jax.random.normal(_key(seed), tuple(shape), "float32")


def take(values: jax.Array, places: jax.Array) -> jax.Array:
    """Values (n, m) at `places` (n, ...) int32, each row's from its own."""
    return jax.vmap(lambda row, at: row[at])(values, places)


def compiled(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """`function`, compiled for this caller alone and gone with it. Arguments are arrays or None.

    Args:
        function: of tensors; it may assign to variables.
        variables: all that it reads or assigns to.
    """

    def without_state(values: list[jax.Array], *arguments: Any) -> tuple[Any, list[jax.Array]]:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            result = function(*arguments)
            return result, _values(variables)

    run_without_state = jax.jit(without_state)

    def run(*arguments: Any) -> Any:
        result, values = run_without_state(_values(variables), *arguments)
        _assign(variables, values)
        return result

    return run


def gradients(
    loss: Callable[[], tuple[jax.Array, Any]], network: keras.Model
) -> tuple[jax.Array, Any, list[jax.Array]]:
    """Loss, what else `loss` gives, and the gradients of the network's trainable variables. Inside `compiled`.

    Args:
        loss: runs the network; the loss () and anything else.
        network: what is trained.
    """
    trained, carried = network.trainable_variables, network.non_trainable_variables

    def of(values: list[jax.Array]) -> tuple[jax.Array, Any]:
        _assign(trained, values)
        value, others = loss()
        return value, (others, _values(carried))

    values = _values(trained)
    (value, (others, states)), slopes = jax.value_and_grad(of, has_aux=True)(values)
    # What `of` assigned holds for its own trace only: the weights as they were, and the statistics it gave back.
    _assign(trained, values)
    _assign(carried, states)
    return value, others, slopes


def _key(seed: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(jax.numpy.asarray(seed).astype("uint32"), impl="threefry2x32")


def _values(variables: Sequence[keras.Variable]) -> list[jax.Array]:
    return [each.value for each in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[jax.Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
