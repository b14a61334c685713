"""Classifies files and folders for the command: in batches, as a table for people or JSON lines for programs."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_digits.digit_client import DigitClient
from mnist_digits.errors import CallError
from mnist_digits.file_format import HEAD_BYTES, NOT_READ, READ, picture_format
from mnist_digits.results import Prediction

# Files of these names are sent whatever they hold: pixels have no mark, and a damaged picture must not go unnoticed.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".bin", ".raw"})
READS = (
    f"mnist-digits reads {', '.join(READ[:-1])} and {READ[-1]} by any name, and 784 pixels as .bin or .raw,"
    f" but not {', '.join(NOT_READ[:-1])} or {NOT_READ[-1]}"
)
STANDARD_INPUT = Path("-")
BATCH_IMAGES = 64
BATCH_BYTES = 4 * 2**20  # well below the server's default limit for a request

_BOLD, _DIM, _RED, _YELLOW, _PLAIN = "1", "2", "31", "33", ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's prediction, or the error in its place."""

    file: str
    prediction: Prediction | None
    error: str | None = None


def find_image_files(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the files to classify, and those skipped. Raises FileNotFoundError.

    Files are taken as they are; of each folder all below it, sorted, that are pictures by their first bytes or name.
    """
    found: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if path == STANDARD_INPUT or path.is_file():
            found.append(path)
        elif path.is_dir():
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                (found if _is_image(file) else skipped).append(file)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    return found, skipped


def skipped_summary(skipped: Sequence[Path]) -> str:
    """Counts the skipped files by suffix: "3 files skipped: 2 .heic, 1 .txt"."""
    counts = Counter(file.suffix.lower() or "without a suffix" for file in skipped).most_common()
    files = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
    return _printable(f"{files} skipped: {', '.join(f'{count} {suffix}' for suffix, count in counts)}")


def classify_files(client: DigitClient, files: Sequence[Path], as_json: bool) -> list[Outcome]:
    """Classifies the files, in order. Prints JSON lines as they come; on a terminal, shows progress meanwhile."""
    outcomes: list[Outcome] = []
    shows_progress = len(files) > BATCH_IMAGES and sys.stderr.isatty()
    for batch in _batches(files):
        if shows_progress:
            print(f"\rclassifying {len(outcomes)} of {len(files)} ", end="", file=sys.stderr, flush=True)
        classified = _classify_batch(client, batch)
        outcomes += classified
        if as_json:
            for outcome in classified:
                print(_json_line(outcome), flush=True)
    if shows_progress:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # clears the line
    return outcomes


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Prints a row for each file; errors follow on standard error, where a long message has room."""
    rows = [_row(outcome) for outcome in outcomes]
    width = max(len("file"), *(len(_printable(outcome.file)) for outcome in outcomes))
    is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for cells in [[(title, _BOLD) for title in ("file", "digit", "probability", "novelty", "")], *rows]:
        padded = zip(cells, (f"{{:<{width}}}", "{:>5}", "{:>11}", "{:>7}", "{}"), strict=True)
        line = "  ".join(_styled(form.format(text), style if is_colored else "") for (text, style), form in padded)
        print(line.rstrip())
    for outcome in outcomes:
        if outcome.error:
            print(_printable(f"{outcome.file}: {outcome.error}"), file=sys.stderr)


def _row(outcome: Outcome) -> list[tuple[str, str]]:
    """Returns text and style of each cell."""
    file = (_printable(outcome.file), _PLAIN)
    if outcome.prediction is None:
        return [file, ("", _PLAIN), ("", _PLAIN), ("", _PLAIN), ("failed", _RED)]
    p = outcome.prediction
    refused = [f"refused: {p.refusal}"] if p.refused else []
    note = ", ".join([*refused, *(remark.replace("_", " ") for remark in p.quality)])
    numbers = [(f"{p.probability:.4f}", _PLAIN), (f"{p.novelty:.4f}", _PLAIN)]
    return [file, (str(p.digit), _BOLD), *numbers, (note, _YELLOW if p.refused else _DIM)]


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style and text.strip() else text


def _printable(text: str) -> str:
    """Escapes what could steer the terminal, bytes of a file name that are no text, and what the output cannot hold."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    encoding = sys.stdout.encoding or "utf-8"  # None: the output is a string
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _json_line(outcome: Outcome) -> str:
    if outcome.prediction is None:
        return json.dumps({"file": outcome.file, "error": outcome.error})
    p = outcome.prediction
    fields = {"digit": p.digit, "probability": p.probability, "novelty": p.novelty, "refused": p.refused}
    return json.dumps({"file": outcome.file, **fields, "refusal": p.refusal, "quality": p.quality})


def _batches(files: Sequence[Path]) -> Iterator[list[tuple[str, bytes | OSError]]]:
    """Reads the files and yields them in groups that fit one call."""
    batch: list[tuple[str, bytes | OSError]] = []
    size = 0
    for file in files:
        content = _read(file)
        length = len(content) if isinstance(content, bytes) else 0
        if batch and (len(batch) == BATCH_IMAGES or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((str(file), content))
        size += length
    yield batch


def _is_image(file: Path) -> bool:
    if file.suffix.lower() in SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            return picture_format(opened.read(HEAD_BYTES)) in READ
    except OSError:  # what cannot be read, and has no picture's name, is probably none
        return False


def _read(file: Path) -> bytes | OSError:
    try:
        return sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        return error


def _classify_batch(client: DigitClient, batch: list[tuple[str, bytes | OSError]]) -> list[Outcome]:
    """Makes one call for the batch; where an image makes it fail, one for each, so that the others succeed."""
    readable = [content for _, content in batch if isinstance(content, bytes)]
    try:
        predictions = iter(client.classify(readable) if readable else [])
    except CallError as error:
        if error.code == "INVALID_ARGUMENT" and len(batch) > 1:
            return [outcome for entry in batch for outcome in _classify_batch(client, [entry])]
        return [Outcome(file, None, _reason(content, error)) for file, content in batch]
    return [
        Outcome(file, None, str(content)) if isinstance(content, OSError) else Outcome(file, next(predictions))
        for file, content in batch
    ]


def _reason(content: bytes | OSError, error: CallError) -> str:
    """Says why a file has no prediction; by name where it is a picture of a format that the server does not read."""
    if isinstance(content, OSError):
        return str(content)
    name = picture_format(content[:HEAD_BYTES])
    if error.code == "INVALID_ARGUMENT" and name in NOT_READ:
        return f"{error.code}: {name} is not supported: convert it to {READ[0]} or {READ[1]}"
    return str(error)
