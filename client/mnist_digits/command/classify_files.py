"""Classifies files and folders for the command: in batches, as a table for people or JSON lines for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_digits.command.image_files import failure_reason, file_bytes
from mnist_digits.command.table import BOLD, DIM, PLAIN, RED, YELLOW, Cell, print_failure, print_rows, printable
from mnist_digits.digit_client import DigitClient
from mnist_digits.errors import CallError
from mnist_digits.results import Prediction

BATCH_IMAGES = 64
BATCH_BYTES = 4 * 2**20  # well below the server's default limit for a request


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's prediction, or the error in its place."""

    file: str
    prediction: Prediction | None
    error: str | None = None


def classify_files(client: DigitClient, files: Sequence[Path], as_json: bool) -> bool:
    """Classifies the files, in order, and prints the outcomes. Returns True when every file was classified.

    JSON lines are printed as they come; a table is printed at the end, and on a terminal progress meanwhile.
    """
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
    if not as_json:
        _print_table(outcomes)
    return not any(outcome.error for outcome in outcomes)


def _print_table(outcomes: Sequence[Outcome]) -> None:
    titles, forms = ("file", "digit", "probability", "novelty", ""), ("{:>5}", "{:>11}", "{:>7}", "{}")
    print_rows(titles, forms, [_row(outcome) for outcome in outcomes])
    for outcome in outcomes:
        if outcome.error:
            print_failure(outcome.file, outcome.error)


def _row(outcome: Outcome) -> list[Cell]:
    file = (printable(outcome.file), PLAIN)
    if outcome.prediction is None:
        return [file, ("", PLAIN), ("", PLAIN), ("", PLAIN), ("failed", RED)]
    p = outcome.prediction
    refused = [f"refused: {_words(str(p.refusal))}"] if p.refused else []
    remarks = [_words(remark) for remark in p.quality if remark != p.refusal]
    note = ", ".join([*refused, *remarks])
    numbers = [(f"{p.probability:.4f}", PLAIN), (f"{p.novelty:.4f}", PLAIN)]
    return [file, (str(p.digit), BOLD), *numbers, (note, YELLOW if p.refused else DIM)]


def _words(name: str) -> str:
    """Name of a refusal or remark, as text."""
    return name.replace("_", " ")


def _json_line(outcome: Outcome) -> str:
    if outcome.prediction is None:
        return json.dumps({"file": outcome.file, "error": outcome.error})
    p = outcome.prediction
    fields = {"digit": p.digit, "probability": p.probability, "novelty": p.novelty, "refused": p.refused}
    request = {"request_id": p.request_id, "index": p.index} if p.request_id else {}  # for the command feedback
    return json.dumps({"file": outcome.file, **fields, "refusal": p.refusal, "quality": p.quality, **request})


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


def _read(file: Path) -> bytes | OSError:
    try:
        return file_bytes(file)
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
    return str(content) if isinstance(content, OSError) else failure_reason(content, error)
