"""Writes the pictures into folders, as a user would have them, and reads those of fresh writers with versions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from experiments.own_digits.slanted import LEARNED, slanted_digits
from training.adapt.judgement import Change
from training.adapt.own_digits import read_own_digits
from training.adapt.start_version import answered_rightly
from training.data.other_handwriting.pen_digits import PenDigits
from training.export.checks import onnx_predictions
from training.export.model_repository import read_version


def write_pictures(folder: Path, digits: PenDigits | None = None) -> None:
    """Write `learned/WRITER/DIGIT/NUMBER.png` and the same below `fresh/`, of these digits or of all held out."""
    for number, drawn in enumerate(slanted_digits(digits)):
        part = "learned" if drawn.writer in LEARNED else "fresh"
        place = folder / part / f"writer-{drawn.writer + 1}" / str(drawn.digit)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.picture).save(place / f"{number:04}.png")


def compare(pictures: Path, versions: Sequence[Path], say: Callable[[str], None]) -> None:
    """Read labelled pictures with versions; each is compared with the first. A table to standard output.

    The interval is of these writers' pictures: it does not say how other writers are read.

    Raises:
        DataError: the pictures are no use.
        ExportError: a version cannot be read.
    """
    own = read_own_digits(pictures, "picture", say)
    table = Table("version", "answered wrongly", "", "refused", "change (95 % interval, points)")
    first = None
    for folder in versions:
        graph, metadata = read_version(folder)
        predictions = onnx_predictions(graph, own.digits)
        right = answered_rightly(predictions, metadata["novelty_threshold"])
        change = Change.of(right if first is None else first, right)
        between = f"{100 * (change.after - change.before):+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
        table.add_row(
            f"{metadata['name']}/{metadata['version']}",
            f"{(~right).sum()} of {len(right)}",
            f"{(~right).mean():.2%}",
            f"{(predictions.novelty > metadata['novelty_threshold']).mean():.2%}",
            "" if first is None else between,
        )
        first = right if first is None else first
    Console(width=120).print(table)
