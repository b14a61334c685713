"""Writes the int8 form of a version on disk, such as one that `adapt` has written."""

from pathlib import Path

from training.commands.data import load_data, say
from training.commands.drift import populations_if_possible
from training.config import FORMER_SETTINGS, Places
from training.data.split import split_mnist
from training.errors import ExportError
from training.evaluation.stand_ins import stand_ins
from training.export.int8_form import export_int8_form
from training.export.model_repository import read_version

_SPLIT = ("train_images", "validation_images", "split_seed", "split")


def write_int8_form(places: Places, version: Path) -> None:
    """Quantize, check, measure and write; say how much it differs.

    Raises:
        ExportError: the version cannot be read, is a cascade or an int8 form, or learned no novelty.
    """
    _, metadata = read_version(version)
    settings = {**FORMER_SETTINGS, **metadata["training"]}
    if not settings.get("synthetic_images"):
        raise ExportError(f"{version} learned no novelty, for which an int8 form has a threshold of its own")
    split = split_mnist(load_data(places), *(settings[name] for name in _SPLIT))
    others = list(stand_ins(split.validation).values())
    populations = populations_if_possible(places.cache, split.validation)
    name = f"{metadata['name']}-int8"
    path, difference = export_int8_form(version, split, others, Path(places.model_repository), name, populations)
    say(f"written: {path}")
    say(f"the largest difference of a probability from float32's: {difference:.2f}")
