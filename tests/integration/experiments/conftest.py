"""The fixtures that these tests share."""

from tests.support.tiny_training import (  # noqa: F401  # fixtures are found by their names here
    deterministic,
    digits,
    mnist,
    small_mnist,
)
