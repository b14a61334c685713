"""Writes the int8 form of a version on disk, whose run may be gone."""

import re
from pathlib import Path

from training.commands.data import load_data, say
from training.commands.drift import populations_if_possible
from training.config import Places
from training.data.split import recorded_split
from training.errors import ExportError
from training.evaluation.stand_ins import stand_ins
from training.export.int8_form import export_int8_form, read_float_version


def write_int8_form(places: Places, version: Path) -> None:
    """Quantize, check, measure and write; say how much it differs.

    Raises:
        ExportError: the version can have no int8 form, or its name is no name of a folder.
    """
    _, metadata = read_float_version(version)  # refused before MNIST is fetched
    name = f"{metadata['name']}-int8"
    if not re.fullmatch(r"[\w.-]+", name):  # another one's metadata.json may say anything
        raise ExportError(f"{version} has the name {metadata['name']!r}, which is none of a folder")
    split = recorded_split(load_data(places), metadata["training"])
    others = list(stand_ins(split.validation).values())
    populations = populations_if_possible(places.cache, split.validation)
    path, difference = export_int8_form(version, split, others, Path(places.model_repository), name, populations)
    say(f"written: {path}")
    say(f"the largest difference of a probability from float32's: {difference:.2f}")
