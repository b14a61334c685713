"""`python -m serving.client`: classifies files and folders, as a table for people or JSON lines for programs."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from serving.client.channel import key_metadata
from serving.client.digit_client import DigitClient
from serving.client.image_files import STANDARD_INPUT, find_image_files
from serving.client.messages import CallError, Prediction

BATCH_IMAGES = 64
BATCH_BYTES = 4 * 2**20  # well below what the server accepts by default
USAGE_ERROR = 2
NOT_ALL_ANSWERED = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's prediction, or why there is none."""

    file: str
    prediction: Prediction | None
    error: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when every image was answered, 1 when not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        files = find_image_files(options.paths)
        credentials = _credentials(options)
        api_key = _api_key(options.api_key_file)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    if not files:
        print(
            "error: no image files there (looked for PNG, JPEG, BMP, WebP, TIFF and 784-byte .bin or .raw)",
            file=sys.stderr,
        )
        return USAGE_ERROR
    timeout = options.timeout_seconds
    with DigitClient(options.address, credentials=credentials, api_key=api_key, timeout_seconds=timeout) as client:
        outcomes = _classify_with_progress(client, files, options.json)
    if not options.json:
        _print_table(outcomes)
    return NOT_ALL_ANSWERED if any(outcome.error for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.client", description="Asks a digit service.")
    commands = parser.add_subparsers(dest="command", required=True)
    classify = commands.add_parser("classify", help="tell the digit in each picture")
    classify.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="pictures, folders, or - for stdin"
    )
    classify.add_argument("--address", default="127.0.0.1:50051", metavar="HOST:PORT", help="(default: %(default)s)")
    classify.add_argument("--json", action="store_true", help="one JSON object per line in place of the table")
    classify.add_argument("--timeout-seconds", type=float, default=30.0, help="of each call (default: %(default)s)")
    classify.add_argument("--tls", action="store_true", help="connect with TLS, trusting the system's authorities")
    classify.add_argument(
        "--tls-ca-file", type=Path, metavar="PEM", help="connect with TLS, trusting these authorities"
    )
    classify.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="file that holds the API key to show, and nothing else"
    )
    return parser


def _credentials(options: argparse.Namespace) -> grpc.ChannelCredentials | None:
    if options.tls_ca_file:
        return grpc.ssl_channel_credentials(options.tls_ca_file.read_bytes())
    return grpc.ssl_channel_credentials() if options.tls else None


def _api_key(file: Path | None) -> str | None:
    """Raises OSError, or ValueError naming the file where it holds no key."""
    if file is None:
        return None
    try:
        api_key = file.read_text().strip()
        key_metadata(api_key)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return api_key


def _classify_with_progress(client: DigitClient, files: list[Path], as_json: bool) -> list[Outcome]:
    """The outcome of each file; JSON lines are printed as they come."""
    outcomes: list[Outcome] = []
    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=len(files) <= BATCH_IMAGES
    ) as progress:
        task = progress.add_task("", total=len(files))
        for batch in _batches(files):
            answered = _classify_batch(client, batch)
            outcomes += answered
            if as_json:
                for outcome in answered:
                    print(_json_line(outcome), flush=True)
            progress.advance(task, len(answered))
    return outcomes


def _batches(files: list[Path]) -> Iterator[list[tuple[str, bytes | OSError]]]:
    """Files with their contents, in groups that fit one call."""
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
        return sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        return error


def _classify_batch(client: DigitClient, batch: list[tuple[str, bytes | OSError]]) -> list[Outcome]:
    """One call for the batch; where one image makes it fail, one call for each, so that the others are answered."""
    readable = [content for _, content in batch if isinstance(content, bytes)]
    try:
        answers = iter(client.classify(readable) if readable else [])
    except CallError as error:
        if error.code == "INVALID_ARGUMENT" and len(batch) > 1:
            return [outcome for entry in batch for outcome in _classify_batch(client, [entry])]
        return [Outcome(file, None, str(content if isinstance(content, OSError) else error)) for file, content in batch]
    return [
        Outcome(file, None, str(content)) if isinstance(content, OSError) else Outcome(file, next(answers))
        for file, content in batch
    ]


def _json_line(outcome: Outcome) -> str:
    if outcome.prediction is None:
        return json.dumps({"file": outcome.file, "error": outcome.error})
    p = outcome.prediction
    fields = {"digit": p.digit, "probability": p.probability, "novelty": p.novelty, "refused": p.refused}
    return json.dumps({"file": outcome.file, **fields, "refusal": p.refusal, "quality": p.quality})


def _print_table(outcomes: list[Outcome]) -> None:
    """The answers as a table; what went wrong below it, on standard error, where a long message has room."""
    table = Table(Column("file", overflow="fold"), "digit", "probability", "novelty", "")
    for outcome in outcomes:
        if outcome.prediction is None:
            table.add_row(escape(outcome.file), "", "", "", "[red]failed[/red]")
            continue
        p = outcome.prediction
        refused = [f"[yellow]refused: {p.refusal}[/yellow]"] if p.refused else []
        note = ", ".join(refused + [f"[dim]{remark.replace('_', ' ')}[/dim]" for remark in p.quality])
        table.add_row(escape(outcome.file), f"[bold]{p.digit}[/bold]", f"{p.probability:.4f}", f"{p.novelty:.4f}", note)
    Console().print(table)
    for outcome in outcomes:
        if outcome.error:
            print(f"{outcome.file}: {outcome.error}", file=sys.stderr)
