"""What training needs of Keras' backend and keras.ops lacks: draws from a seed, compilation, gradients.

KERAS_BACKEND names the backend, TensorFlow unless it is set; `on_tensorflow` and `on_jax` have the same functions.
Everything else computes by keras.ops, so that no other module imports TensorFlow or JAX.
"""

from typing import Any

from training.environment import keras_backend

if keras_backend() == "jax":
    from training.backend.on_jax import compiled, gradients, integers, make_deterministic, normal, take, uniform
else:
    from training.backend.on_tensorflow import compiled, gradients, integers, make_deterministic, normal, take, uniform

Tensor = Any  # of the backend
__all__ = ["Tensor", "compiled", "gradients", "integers", "make_deterministic", "normal", "take", "uniform"]
