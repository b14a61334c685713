"""One job of bulk classification: its settings, the shards of its input, and its folder on disk."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from serving.errors import InvalidRequestError, ModelRejectedError
from serving.files import replace_atomically
from serving.image.picture import ImageLimits

HIDDEN = ".bulk"  # in the output folder: what the job is, its shards, and files that are being written
SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}


class BulkError(Exception):
    """Job that cannot begin or go on. The message gives the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Model:
    """Model version that classifies. `sha256`: of its model.onnx, so that every task and every resumed job has it."""

    repository: str
    name: str
    folder: str  # "": by repository and name
    public_key: str  # "": versions need no signature
    version: int
    precision: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Shard:
    """Part of the input that one task reads, classifies and writes to one file.

    `kind` says how it is read (serving.bulk.inputs); `first` and `stop` mean rows, row groups or bytes by that.
    """

    number: int
    kind: str
    path: str  # of the file that holds it
    prefix: str  # of its ids
    rows: int | None  # None: not known before it is read to its end
    first: int = 0
    stop: int = 0
    offset: int = 0  # of its first byte
    detail: str = ""  # what else the kind needs
    stamp: tuple[int, int] | None = None  # size in bytes and time of modification in nanoseconds of the file


@dataclass(frozen=True, slots=True)
class Job:
    """Settings of a job. Those of a resumed job must be the same."""

    input: str
    output: str
    format: str
    shard_rows: int
    model: Model
    max_image_bytes: int
    max_image_pixels: int

    @property
    def limits(self) -> ImageLimits:
        """Limits of one picture."""
        return ImageLimits(self.max_image_bytes, self.max_image_pixels)

    @property
    def hidden(self) -> Path:
        """Folder of what is no result."""
        return Path(self.output) / HIDDEN

    @property
    def index(self) -> Path:
        """File with a line for each picture of folders and archives."""
        return self.hidden / "index.jsonl"

    def part(self, number: int) -> Path:
        """Returns the file of a shard's results. It is there when it is complete, and never before."""
        return Path(self.output) / f"part-{number:06d}{SUFFIXES[self.format]}"

    def aside(self, number: int, name: str) -> Path:
        """Returns a file of this `name` in which the shard's results are written."""
        return self.hidden / "unfinished" / f"{number:06d}-{name}"


def check_input_unchanged(shard: Shard) -> None:
    """Raises BulkError where the shard's file is another than when the job began."""
    if shard.stamp is not None and stamp_of(Path(shard.path)) != tuple(shard.stamp):
        raise BulkError(f"{shard.path} has changed since the job began: begin a new one, into another folder")


def stamp_of(path: Path) -> tuple[int, int]:
    """Returns size and time of modification of a file. Raises OSError."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def begun(job: Job) -> bool:
    """Tells if the job's folder holds this job, planned. Raises BulkError where it holds another one."""
    path = job.hidden / "job.json"
    try:
        before = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    except ValueError as error:
        raise BulkError(f"{path} cannot be read ({error}): begin again, into another folder") from error
    now = asdict(job)
    for name in (each.name for each in fields(Job)):
        _compare(name, before.get(name), now[name])
    return True


def _compare(name: str, before: Any, now: Any) -> None:
    if isinstance(now, dict) and isinstance(before, dict):
        for key, value in now.items():
            _compare(f"{name} {key}", before.get(key), value)
    elif before != now and name != "output":  # which may have been moved as a whole
        raise BulkError(
            f"the job in this folder was begun with {name} = {before}, not {now}: go on with the same settings, or "
            "begin another job, into another folder"
        )


def write_plan(job: Job, shards: Iterator[Shard]) -> None:
    """Writes the shards, and at last the job itself: a plan that was cut off is made again."""
    with (job.hidden / "shards.jsonl").open("w") as file:
        file.writelines(json.dumps(asdict(shard)) + "\n" for shard in shards)
    replace_atomically(job.hidden / "job.json", json.dumps(asdict(job), indent=2) + "\n")


def read_plan(job: Job) -> Iterator[Shard]:
    """Yields the shards of the job."""
    with (job.hidden / "shards.jsonl").open() as file:
        for line in file:
            yield Shard(**json.loads(line))


def reason_of(error: Exception) -> str:
    """Returns the message of an error for the row of what could not be read, without the path, which the id has."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


FAILURES = (BulkError, ModelRejectedError, InvalidRequestError, OSError)  # of a job, with messages for people
