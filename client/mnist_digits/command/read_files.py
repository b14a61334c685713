"""Reads pictures of several digits for the command: a call for each, as a table or as JSON lines."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnist_digits.command.image_files import failure_reason, file_bytes
from mnist_digits.command.table import BOLD, DIM, PLAIN, RED, YELLOW, Cell, print_failure, print_rows, printable
from mnist_digits.digit_client import DigitClient
from mnist_digits.errors import CallError
from mnist_digits.reading import Layout, Reading


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's reading, or the error in its place."""

    file: str
    reading: Reading | None
    error: str | None = None


def read_files(client: DigitClient, files: Sequence[Path], layout: Layout, as_json: bool) -> bool:
    """Reads the files, in order, and prints the outcomes. Returns True when every file was read.

    JSON lines are printed as they come; a table is printed at the end, and on a terminal progress meanwhile.
    """
    outcomes: list[Outcome] = []
    shows_progress = len(files) > 1 and sys.stderr.isatty()
    for file in files:
        if shows_progress:
            print(f"\rreading {len(outcomes) + 1} of {len(files)} ", end="", file=sys.stderr, flush=True)
        outcome = _read(client, file, layout)
        outcomes.append(outcome)
        if as_json:
            print(_json_line(outcome), flush=True)
    if shows_progress:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # clears the line
    if not as_json:
        _print_table(outcomes)
    return not any(outcome.error for outcome in outcomes)


def _read(client: DigitClient, file: Path, layout: Layout) -> Outcome:
    content = b""
    try:
        content = file_bytes(file)
        return Outcome(str(file), client.read(content, layout=layout))
    except OSError as error:
        return Outcome(str(file), None, str(error))
    except CallError as error:
        return Outcome(str(file), None, failure_reason(content, error))


def _print_table(outcomes: Sequence[Outcome]) -> None:
    rows = [row for outcome in outcomes for row in _rows(outcome)]
    width = max(len("digits"), *(len(row[2][0]) for row in rows))
    print_rows(("file", "line", "digits", "probability", ""), ("{:>4}", f"{{:<{width}}}", "{:>11}", "{}"), rows)
    for outcome in outcomes:
        if outcome.error:
            print_failure(outcome.file, outcome.error)


def _rows(outcome: Outcome) -> list[list[Cell]]:
    """Returns a row for each line of a picture; for a picture without lines, one that says so."""
    file, reading = (printable(outcome.file), PLAIN), outcome.reading
    if reading is None:
        return [[file, ("", PLAIN), ("", PLAIN), ("", PLAIN), ("failed", RED)]]
    remarks = [remark.replace("_", " ") for remark in reading.quality]
    if not reading.lines:
        return [[file, ("", PLAIN), ("", PLAIN), ("", PLAIN), (", ".join(["no digits", *remarks]), YELLOW)]]
    rows: list[list[Cell]] = []
    for number, line in enumerate(reading.lines, start=1):
        refused = ["refused: digits may be missing"] if line.refused else []
        note = ", ".join([*refused, *(remarks if number == 1 else ())])
        numbers = [(str(number), PLAIN), (line.text, BOLD), (f"{line.probability:.4f}", PLAIN)]
        rows.append([file, *numbers, (note, YELLOW if line.refused else DIM)])
    return rows


def _json_line(outcome: Outcome) -> str:
    if outcome.reading is None:
        return json.dumps({"file": outcome.file, "error": outcome.error})
    fields: dict[str, Any] = asdict(outcome.reading)
    for part in [*fields["lines"], *(digit for line in fields["lines"] for digit in line["digits"])]:
        del part["request_id"]  # the picture's
        if not fields["request_id"]:
            del part["index"]
        part.pop("probabilities", None)  # ten numbers for each sign would hide the others
    if not fields["request_id"]:
        del fields["request_id"]  # as where there is none in a prediction
    return json.dumps({"file": outcome.file, **fields})
