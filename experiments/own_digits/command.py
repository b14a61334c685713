"""Writes the pictures into folders, as a user would have them, and reads those of fresh writers with versions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from experiments.own_digits.slanted import LEARNED, slanted_digits
from training.adapt.judgement import Change
from training.adapt.own_digits import read_own_digits
from training.adapt.start_version import StartVersion, answered_rightly


def write_pictures(folder: Path) -> None:
    """Write `learned/WRITER/DIGIT/NUMBER.png` and the same below `fresh/`."""
    for number, drawn in enumerate(slanted_digits()):
        part = "learned" if drawn.writer in LEARNED else "fresh"
        place = folder / part / f"writer-{drawn.writer + 1}" / str(drawn.digit)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.picture).save(place / f"{number:04}.png")


def compare(pictures: Path, versions: Sequence[Path], say: Callable[[str], None]) -> None:
    """Read labelled pictures with versions; each is compared with the first. A table to standard output.

    Raises:
        DataError: the pictures are no use.
        ExportError: a version cannot be read.
    """
    own = read_own_digits(pictures, "auto", say)
    table = Table("version", "read rightly", "errors", "refused", "change (95 % interval, points)")
    first = None
    for folder in versions:
        version = StartVersion.read(folder)
        predictions = version.predict(own.digits)
        right = answered_rightly(predictions, version.threshold)
        first = right if first is None else first
        change = Change.of(first, right, own.groups)
        table.add_row(
            version.name,
            f"{change.after:.2%}",
            f"{(~right).sum()} of {len(right)}",
            f"{(predictions.novelty > version.threshold).mean():.2%}",
            f"{100 * (change.after - change.before):+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})",
        )
    Console(width=120).print(table)
