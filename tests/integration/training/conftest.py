"""The fixtures that these tests share."""

from tests.support.tiny_training import (  # noqa: F401  # fixtures are found by their names here
    added,
    deterministic,
    digits,
    evaluated_run,
    finished_run,
    mnist,
    small_mnist,
    small_split,
    synthetic,
)
