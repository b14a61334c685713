"""Writes the reference of drift of a model version: what it sees on the populations that it is meant for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.commands.data import load_data, say
from training.config import FORMER_SETTINGS, Places
from training.data.arrays import LabelledDigits
from training.data.preprocessing import preprocess_pictures
from training.data.split import SPLIT_SETTINGS, split_mnist
from training.errors import DataError, ExportError
from training.evaluation.stand_ins import stand_in_pictures
from training.export.drift_reference import FILE, Populations, write_reference
from training.other_handwriting.sets import load_other_handwriting
from training.synthetic.fonts import load_faces
from training.synthetic.recipe import draw_printed_digits

_LIGHT = 128  # of 255: paper is lighter
_OTHER_HANDWRITING = ("pen digits", "maps")


def write_drift_references(places: Places, folders: Sequence[Path]) -> None:
    """Measure the populations with the versions in `folders`, and write drift.json there.

    Raises:
        ExportError: the version cannot be read or written.
        DataError: data cannot be had, or the server's measuring cannot run.
    """
    made: dict[tuple[Any, ...], Populations] = {}  # versions that share a split share them
    for folder in folders:
        settings = _split_settings(folder)
        if settings not in made:
            made[settings] = known_populations(places.cache, split_mnist(load_data(places), *settings).validation)
        write_reference(folder, made[settings])
        say(f"written: {folder}/{FILE}")


def populations_if_possible(cache: Path, validation: LabelledDigits) -> Populations | None:
    """The populations of `known_populations`; None where they cannot be had, which standard error says."""
    try:
        return known_populations(cache, validation)
    except DataError as error:  # no reason to lose hours of training
        say(f"the version gets no {FILE}, which `python -m training drift FOLDER` can add later: {error}")
        return None


def _split_settings(folder: Path) -> tuple[Any, ...]:
    """How the version's training run split MNIST."""
    try:
        training = {**FORMER_SETTINGS, **json.loads((folder / "metadata.json").read_bytes())["training"]}
        return tuple(training[name] for name in SPLIT_SETTINGS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder} is no model version that can be read: {error!r}") from error


def known_populations(cache: Path, validation: LabelledDigits) -> Populations:
    """MNIST's validation rows, their stand-ins for other populations, other handwriting, and printed digits.

    No test row is in them, and nobody whose handwriting is held out.

    Raises:
        DataError: data cannot be had, or the preprocessing cannot run.
    """
    faces = load_faces(cache, "validation", say)  # first: all else can be made without the internet
    pictures = stand_in_pictures(validation)
    framed = preprocess_pictures(pictures)
    other = load_other_handwriting(cache, "train", say)
    printed = draw_printed_digits(faces, "validation", preprocess_pictures)
    digits = {
        "MNIST": validation.pixels,
        **{name: framed[name].pixels for name in pictures},
        **{name: other.pixels[other.kinds == name] for name in _OTHER_HANDWRITING},
        "printed digits": printed.pixels,
    }
    # Scans in this set are light on dark, as their files were; people's pictures are dark on light, and traffic of the
    # other polarity is to be seen.
    dark_on_light = {name: each if np.median(each) >= _LIGHT else 255 - each for name, each in pictures.items()}
    return Populations(digits, dark_on_light)
