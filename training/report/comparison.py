"""Compares metadata.json with measured figures, up to rounding, which may also move one image over a border."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.measurement import ModelFigures

# float32 sums in another order; integers on another kind of processor round other values up.
_ROUNDING = {"float32": 1e-6, "int8": 1e-4}
_BIN_BORDER = 2e-4  # ECE when one of 5,000 predictions falls into the next bin of confidence
_DRAWN = 2e-3  # pictures drawn and preprocessed by other versions of FreeType or Pillow
_AT_THE_THRESHOLD = ("refused", "accuracy_of_answered")


def differences(metadata: Mapping[str, Any], figures: ModelFigures) -> list[str]:
    """A line for each figure that metadata.json has otherwise, or has not; empty when all agree.

    Figures beyond MNIST are compared where both sides have them.
    """
    name = f"{metadata['name']} {metadata['version']}"
    recorded, measured = _flat(metadata["metrics"]), _flat(figures["metrics"])
    found = [f"{name}: {key} is not in metadata.json" for key in measured if key not in recorded]
    if "other_sets" in metadata and "other_sets" in figures:
        recorded |= _flat(metadata["other_sets"], "other_sets.")
        measured |= _flat(figures["other_sets"], "other_sets.")
    for key in recorded.keys() & measured.keys():
        allowed = _allowed(key, measured, figures["precision"])
        if not abs(recorded[key] - measured[key]) <= allowed:  # not `>`, which would let a NaN pass
            found.append(
                f"{name}: {key} is {measured[key]:.7g}, metadata.json says {recorded[key]:.7g} (allowed: {allowed:.1g})"
            )
    return sorted(found)


def _allowed(key: str, measured: Mapping[str, float], precision: str) -> float:
    parent, _, leaf = key.rpartition(".")
    if key.startswith("other_sets."):
        return _DRAWN
    if leaf in _AT_THE_THRESHOLD:
        return 1.5 / measured[f"{parent}.images"]  # the threshold is one image's own novelty
    if leaf == "ece" or parent.endswith("ece_interval"):
        return _BIN_BORDER
    return _ROUNDING[precision]


def _flat(figures: Any, prefix: str = "") -> dict[str, float]:
    """All numbers of nested mappings and lists, by their path."""
    if isinstance(figures, Mapping):
        items = list(figures.items())
    elif isinstance(figures, Sequence):
        items = list(enumerate(figures))
    else:
        return {prefix.rstrip("."): float(figures)}
    return {path: value for key, each in items for path, value in _flat(each, f"{prefix}{key}.").items()}
