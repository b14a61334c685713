"""Reference of drift: what a model version saw where its figures were measured, as histograms of a few features.

Training writes it as drift.json of the version. It knows several populations of handwriting: traffic like any of them
is ordinary. Loads no NumPy: the supervisor reads it, too.
"""

import json
import math
import re
from dataclasses import dataclass

SCHEMA_VERSION = 1
FILE = "drift.json"
MOST_BYTES = 2**18  # of drift.json; a usual one has 10,000
MOST_POPULATIONS, MOST_EDGES, MOST_COUNT = 32, 31, 2**40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.\-]{0,49}")

# Features by name, with the names of their bins where they are no ranges of numbers. The value of such a feature is
# the place of its bin. Names of ranges follow from drift.json: each range's upper bound.
FEATURES: dict[str, tuple[str, ...]] = {
    "digit": tuple("0123456789"),
    "confidence": (),  # probability of the answered digit
    "novelty": (),
    "ink": (),  # share of full ink over the 28x28 pixels
    "level": (),  # of the darkest pixel, 0 = paper, 255 = full ink
    "stroke_width": (),  # in pixels of the 28x28
    "size": (),  # longer side of the ink's box, in pixels of the 28x28
    "row": (),  # of the ink's centre of mass, from the top, in pixels of the 28x28
    "column": (),
    "slant": (),  # shear of the ink, horizontal over vertical, above 0 to the right
    "aspect": (),  # spread of the ink across over that down, without the slant
    "polarity": ("dark_on_light", "light_on_dark"),  # this one and those below: of pictures, before they are framed
    "contrast": (),  # grey levels between paper and full ink
    "picture_stroke_width": (),  # in pixels of MNIST's 20x20 box, before strokes are redrawn
    "remark": ("none", "blank", "several_glyphs", "touches_border", "low_contrast", "mostly_dark"),  # the first of them
}


class DriftReferenceError(ValueError):
    """drift.json that cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """Histograms of one feature. `edges`: upper limits of all bins but the last, ascending and inclusive."""

    edges: tuple[float, ...]
    bins: tuple[str, ...]  # names, one more than there are edges
    populations: dict[str, tuple[int, ...]]  # counts by bin; one population or more, each with one observation or more

    def shares(self) -> list[float]:
        """Returns the share of each bin, as the mean over the populations."""
        shares = [[count / sum(counts) for count in counts] for counts in self.populations.values()]
        return [sum(each) / len(shares) for each in zip(*shares, strict=True)]


@dataclass(frozen=True, slots=True)
class DriftReference:
    """Reference of a model version, by the feature's name, and the text of drift.json that it was read from."""

    features: dict[str, FeatureReference]
    text: str


def read_reference(content: bytes) -> DriftReference:
    """Reads drift.json. Features that this server does not know are passed over.

    Raises DriftReferenceError for anything that is not as training writes it: somebody else may have written it.
    """
    try:
        stored = json.loads(content)
        if stored["schema_version"] != SCHEMA_VERSION:
            raise DriftReferenceError(f"is not of schema_version {SCHEMA_VERSION}, which this server reads")
        known = {name: each for name, each in stored["features"].items() if name in FEATURES}
        features = {name: _feature(name, each["edges"], each["populations"]) for name, each in known.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, DriftReferenceError) else f"lacks or garbles a field: {error!r}"
        raise DriftReferenceError(f"{FILE} {why}") from error
    # Written anew: it becomes a label of a metric, and what else was in the file does not.
    kept = {name: {"edges": each.edges, "populations": each.populations} for name, each in features.items()}
    return DriftReference(features, json.dumps({"schema_version": SCHEMA_VERSION, "features": kept}))


def _feature(name: str, edges: list[float], populations: dict[str, list[int]]) -> FeatureReference:
    named = FEATURES[name]
    numbers = tuple(float(edge) for edge in edges if not isinstance(edge, bool) and math.isfinite(edge))
    if not 1 <= len(edges) <= MOST_EDGES or len(numbers) != len(edges) or sorted(set(numbers)) != list(numbers):
        raise DriftReferenceError(f"has edges of {name} that are not 1 to {MOST_EDGES} ascending numbers")
    if named and numbers != tuple(range(len(named) - 1)):
        raise DriftReferenceError(f"has edges of {name} that are not 0 to {len(named) - 2}")
    if not 1 <= len(populations) <= MOST_POPULATIONS:
        raise DriftReferenceError(f"has {len(populations)} populations of {name}, expected 1 to {MOST_POPULATIONS}")
    for population, counts in populations.items():
        are_counts = all(type(count) is int and 0 <= count <= MOST_COUNT for count in counts)
        if not _NAME.fullmatch(population) or len(counts) != len(edges) + 1 or not are_counts or not sum(counts):
            raise DriftReferenceError(f"has no name and {len(edges) + 1} counts for a population of {name}")
    bins = named or (*(f"{edge:g}" for edge in numbers), "+Inf")
    if len(set(bins)) != len(bins):
        raise DriftReferenceError(f"has edges of {name} that are the same in six digits")
    return FeatureReference(numbers, bins, {each: tuple(counts) for each, counts in populations.items()})
