"""`python -m serving store`: shows, draws, exports, backs up and erases what a store for feedback holds.

All work on a file that running servers write.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import numpy as np

from serving.options import CONTEXT
from serving.predictions import DIGITS, SIDE
from serving.store.database import Database
from serving.store.errors import StoreError
from serving.store.records import NO_DIGIT, Picture

MOST_ON_SHEET = 1000
_COLUMNS, _SCALE, _MARGIN, _CAPTION = 16, 2, 6, 14  # of a sheet: pictures in a row, then pixels
_NO_LIMIT = 2**40  # a command changes no bounds, and so removes nothing that it was not called for
_WRONG = "truth IS NOT NULL AND NOT (CASE WHEN refusal THEN truth = -1 ELSE truth = digit END)"
_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group(context_settings=CONTEXT)
def store() -> None:
    """Shows, draws, exports, backs up and erases the pictures of a store (--store)."""


@store.command()
@_FILE
def show(file: Path) -> None:
    """Shows how much a store holds, and how often the judged answers were right."""
    with _opened(file) as database:
        contents = database.contents()
        wrong = sum(1 for _ in database.pictures(_WRONG))
    click.echo(f"{contents.pictures} pictures in {contents.bytes / 2**20:.1f} MiB")
    if contents.oldest is not None:
        click.echo(f"the oldest of {datetime.fromtimestamp(contents.oldest, UTC):%Y-%m-%d %H:%M} UTC")
    if contents.labelled:
        right = contents.labelled - wrong
        click.echo(f"{contents.labelled} with the truth; {right} answered rightly ({right / contents.labelled:.1%})")


@store.command()
@_FILE
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--wrong", is_flag=True, help="Only those that were answered wrongly.")
@click.option("--count", type=click.IntRange(1, MOST_ON_SHEET), default=200, show_default=True, help="The newest ones.")
def sheet(file: Path, picture: Path, wrong: bool, count: int) -> None:
    """Draws the newest pictures of a store on a sheet, PICTURE.png: the truth, and the answer where it differs."""
    from PIL import Image, ImageDraw  # takes a tenth of a second, which the other commands need not wait

    with _opened(file) as database:
        newest = list(database.pictures(_WRONG if wrong else "1"))[-count:]
    if not newest:
        raise click.ClickException("the store holds no such picture")
    side = SIDE * _SCALE
    width, height = side + _MARGIN, side + _MARGIN + _CAPTION
    rows = -(-len(newest) // _COLUMNS)
    drawn = Image.new("L", (min(len(newest), _COLUMNS) * width + _MARGIN, rows * height + _MARGIN), 235)
    draw = ImageDraw.Draw(drawn)
    for place, each in enumerate(newest):
        row, column = divmod(place, _COLUMNS)
        left, top = _MARGIN + column * width, _MARGIN + row * height
        ink = np.frombuffer(each.answered.pixels, np.uint8).reshape(SIDE, SIDE)
        drawn.paste(Image.fromarray(255 - ink).resize((side, side), Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + side + 1), _caption(each), fill=0)
    with _private(picture) as target:
        drawn.save(target, "PNG")
    click.echo(f"{picture}: {len(newest)} pictures; `7` is the truth, `1>7` the answer and the truth, `?` unknown")


@store.command()
@_FILE
@click.argument("target", type=click.Path(path_type=Path))
def export(file: Path, target: Path) -> None:
    """Exports the pictures with a truth: to TARGET.npz, or to folders 0/ to 9/ and none/ in the folder TARGET."""
    with _opened(file) as database:
        labelled = list(database.pictures("truth IS NOT NULL"))
    if target.suffix == ".npz":
        _export_arrays(labelled, target)
    else:
        _export_folders(labelled, target)
    click.echo(f"{target}: {len(labelled)} pictures")


@store.command()
@_FILE
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path, target: Path) -> None:
    """Copies a store into the new file TARGET, whole, while servers write: to restore, stop them and put it back."""
    with _opened(file) as database:
        database.copy_to(target)
    with _opened(target) as copy:
        click.echo(f"{target}: {copy.contents().pictures} pictures")


@store.command()
@_FILE
@click.option("--all", "everything", is_flag=True, help="All pictures.")
@click.option("--request-id", help="Those of a request.")
@click.option("--key", help="Those of the requests of an API key, by its name.")
@click.option("--older-than-days", type=click.FloatRange(min=0), help="Those that are older.")
def erase(file: Path, everything: bool, request_id: str | None, key: str | None, older_than_days: float | None) -> None:
    """Erases pictures, and overwrites them in the file and its log. Several conditions must all hold."""
    conditions: list[str] = []
    values: list[object] = []
    for condition, value in (("request_id = ?", request_id), ("caller = ?", key)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if older_than_days is not None:
        conditions.append("time < ?")
        values.append(datetime.now(UTC).timestamp() - older_than_days * 86400)
    if everything == bool(conditions):
        raise click.UsageError("say which: --all, or one or more of --request-id, --key and --older-than-days")
    with _opened(file) as database:
        erased = database.erase(" AND ".join(conditions) or "1", values)
    click.echo(f"{erased} pictures erased")


@contextmanager
def _opened(file: Path) -> Iterator[Database]:
    """Opens a store. Its errors become errors of the command."""
    try:
        database = Database.open(file, _NO_LIMIT, most_seconds=0)
        try:
            yield database
        finally:
            database.close()
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def _caption(picture: Picture) -> str:
    answer = "-" if picture.answered.refusal else str(picture.answered.digit)
    if picture.truth is None:
        return f"{answer}?"
    truth = "-" if picture.truth == NO_DIGIT else str(picture.truth)
    return truth if answer == truth else f"{answer}>{truth}"


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file for its owner alone: it holds handwriting. Raises an error of the command."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def _export_arrays(pictures: list[Picture], target: Path) -> None:
    answers = [each.answered for each in pictures]
    with _private(target) as file:
        np.savez_compressed(
            file,
            pixels=np.frombuffer(b"".join(each.pixels for each in answers), np.uint8).reshape(-1, SIDE * SIDE),
            truth=np.array([each.truth for each in pictures], np.int8),
            digit=np.array([each.digit for each in answers], np.int8),
            probability=np.array([each.probability for each in answers], np.float32),
            novelty=np.array([each.novelty for each in answers], np.float32),
            refused=np.array([bool(each.refusal) for each in answers], bool),
            version=np.array([each.version for each in answers], np.int64),
            time=np.array([each.time for each in answers], np.float64),
            key=np.array([each.name.caller for each in pictures], str),
            request_id=np.array([each.name.request_id for each in pictures], str),
        )


def _export_folders(pictures: list[Picture], target: Path) -> None:
    from PIL import Image

    try:
        for name in (*map(str, range(DIGITS)), "none"):
            (target / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error
    for each in pictures:
        name = "none" if each.truth == NO_DIGIT else str(each.truth)
        ink = np.frombuffer(each.answered.pixels, np.uint8).reshape(SIDE, SIDE)
        with _private(target / name / f"{each.id:08}.png") as file:
            Image.fromarray(255 - ink).save(file, "PNG")
