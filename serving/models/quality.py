"""Compares the recorded quality of two versions: figures of metadata.json, each a share of so many images.

Golden answers and checksums prove that a version is what was exported, not that it reads digits well. A version is
worse than another where one of its shares is on the wrong side by more than chance explains and the operator allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

# Standard errors of a difference that count as chance. Of equally good versions one in 25 is refused by chance with 30
# independent figures, and fewer by real ones, which are of the same images for both.
STANDARD_ERRORS = 3.0
MOST_SETS = 100  # read of each part of metadata.json

Figures = Mapping[str, "Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Share of a set's images. `is_good`: more is better, as of an accuracy; less is better of digits refused."""

    share: float  # 0 to 1
    images: int  # 0: not recorded, so no difference is put down to chance
    is_good: bool
    is_required: bool  # a version that lacks it is worse than one that has it


def read_figures(metadata: Mapping[str, Any]) -> dict[str, Figure]:
    """Reads the figures from metadata.json: accuracy and refusals of digits, refusals of what is no digit.

    Returns them by name. Raises ValueError and TypeError for values that are none, LookupError for fields that lack.
    """
    figures: dict[str, Figure] = {}
    other = metadata.get("other_sets") or {}
    for sets, is_required in ((metadata["metrics"], True), (other.get("digits") or {}, False)):
        for name, values in _sets(sets):
            for field, is_good in (("accuracy", True), ("refused", False)):
                if field in values:
                    figures[f"{field} of {name}"] = _figure(values, field, is_good, is_required)
    for name, values in _sets(other.get("refusal") or {}):
        figures[f"refused of {name}, which are no digits,"] = _figure(values, "refused", True, False)
    return figures


def what_is_worse(new: Figures, old: Figures, allowed: float) -> str:
    """Returns the first figure of `new` that is worse than that of `old`, in words; empty where none is.

    `allowed`: share, 0 to 1, by which a figure may be worse beyond chance.
    """
    for name, before in old.items():
        now = new.get(name)
        if now is None:
            if before.is_required:
                return f"it records no {name}, which is {before.share:.2%}"
            continue
        loss = (before.share - now.share) * (1 if before.is_good else -1)
        if loss > allowed + STANDARD_ERRORS * standard_error(now, before):
            return f"{name} is {now.share:.2%}, {before.share:.2%} before"
    return ""


def standard_error(one: Figure, other: Figure) -> float:
    """Returns the standard error of the difference of two shares, as of independent samples.

    Both versions are measured on the same images as a rule, where chance explains less: the estimate is a generous one.
    """
    variance = 0.0
    for each in (one, other):
        if each.images:  # one success and one failure added (Agresti and Caffo): 10 of 10 is not without chance
            share = (each.share * each.images + 1) / (each.images + 2)
            variance += share * (1 - share) / (each.images + 2)
    return sqrt(variance)


def _sets(sets: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if not isinstance(sets, dict) or len(sets) > MOST_SETS:
        raise ValueError(f"expected at most {MOST_SETS} sets with figures")
    for name, values in sets.items():
        if not isinstance(values, dict) or len(name) > MOST_SETS or not name.isprintable():
            raise ValueError("expected sets with printable names and figures")
        yield name, values


def _figure(values: Mapping[str, Any], field: str, is_good: bool, is_required: bool) -> Figure:
    share, images = values[field], values.get("images", 0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:  # also for NaN
        raise ValueError(f"{field} is {share!r}, expected a number from 0 to 1")
    if isinstance(images, bool) or not isinstance(images, int) or not 0 <= images <= 2**40:
        raise ValueError(f"images is {images!r}, expected how many there are")
    return Figure(float(share), images, is_good, is_required)
