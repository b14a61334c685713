"""`python -m serving bulk`, also `mnist-digits-bulk`: classifies many pictures into files, here or on a Ray cluster."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from serving.bulk.audit import audit
from serving.bulk.inputs import plan
from serving.bulk.job import FAILURES, SUFFIXES, BulkError, Job, Model, Shard, begun, read_plan, write_plan
from serving.bulk.progress import Progress
from serving.bulk.results import check_format
from serving.bulk.worker import Outcome, open_model
from serving.config import Config
from serving.errors import ModelRejectedError
from serving.host.cpu import usable_cpus
from serving.models.repository import ModelRepository
from serving.options import CONTEXT, make_config, run_command, setting_options

DEFAULT_SHARD_ROWS = 8192
USED = (  # settings of the server that mean the same here
    *("model_repository", "model_name", "model_folder", "model_version", "model_public_key", "precision"),
    *("workers", "max_image_bytes", "max_image_pixels"),
)


def main() -> int:
    """Runs the command on the arguments of this process. Returns the exit status."""
    return run_command(bulk)


@click.command(context_settings=CONTEXT)
@click.argument("input", type=click.Path(exists=True, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(SUFFIXES)),
    default="parquet",
    show_default=True,
    allow_from_autoenv=False,
    help="of the results; parquet needs the extra `scale`",
)
@click.option("--resume", is_flag=True, allow_from_autoenv=False, help="go on with the job in OUTPUT where it stopped")
@click.option(
    "--ray", metavar="ADDRESS", allow_from_autoenv=False, help="Ray cluster to run on, such as auto; default: processes"
)
@click.option(
    "--shard-rows",
    type=click.IntRange(1, 2**24),
    default=DEFAULT_SHARD_ROWS,
    show_default=True,
    allow_from_autoenv=False,
    help="rows of pixels in one task and its file of results; an eighth of that of pictures",
)
@setting_options(USED, variables=USED)
def bulk(input: Path, output: Path, format_: str, resume: bool, ray: str | None, shard_rows: int, **values: Any) -> int:
    """Classifies all digits of INPUT into files in the folder OUTPUT.

    INPUT is a folder, or a file: pictures, IDX (also .gz), .npy and .npz, Parquet, zip and tar archives, JSON lines.
    """
    config = make_config(values)
    # As SIGINT: processes are ended, and what is complete stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_format(format_)
        job = Job(
            input=str(input.resolve()),
            output=str(output.resolve()),
            format=format_,
            shard_rows=shard_rows,
            model=_model(config),
            max_image_bytes=config.max_image_bytes,
            max_image_pixels=config.max_image_pixels,
        )
        return _run(job, resume, ray, config.workers or usable_cpus())
    except FAILURES as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; go on with --resume into {output}", file=sys.stderr)
        return 130


def _run(job: Job, resume: bool, address: str | None, processes: int) -> int:
    began = time.monotonic()
    _prepare(job, resume)
    done, total = 0, 0
    for shard in read_plan(job):
        total += shard.rows or 0
        done += (shard.rows or 0) if job.part(shard.number).exists() else 0
    progress = Progress(done, total)
    new = 0
    with closing(_outcomes(job, address, processes)) as outcomes:
        for outcome in outcomes:
            progress.add(outcome.rows)
            new += outcome.rows
    progress.close()
    seconds = time.monotonic() - began
    found = audit(job)
    shutil.rmtree(job.hidden / "unfinished", ignore_errors=True)
    summary = {
        "rows": found.rows,
        "different_ids": found.ids,
        "refused": found.refused,
        "errors": found.errors,
        "shards": found.shards,
        "classified_now": new,
        "seconds": round(seconds, 3),
        "model_version": job.model.version,
    }
    print(json.dumps(summary))
    if found.ids != found.rows:
        print(
            f"note: {found.rows - found.ids:,} rows have the id of another row: the input has them so", file=sys.stderr
        )
    return 0


def _prepare(job: Job, resume: bool) -> None:
    """Makes the output folder, and plans the job unless it was planned before. Raises BulkError."""
    output = Path(job.output)
    if output.is_relative_to(job.input):
        raise BulkError(f"{output} is in the input itself: name a folder outside of it")
    job.hidden.mkdir(parents=True, exist_ok=True)
    if begun(job):
        if not resume:
            raise BulkError(f"{output} holds this job already: go on with --resume, or name another folder")
        return
    others = [path.name for path in output.iterdir() if path != job.hidden]
    if others:
        raise BulkError(f"{output} is not empty, and holds no job to resume: name another folder")
    write_plan(job, plan(job))


def _outcomes(job: Job, address: str | None, processes: int) -> Generator[Outcome]:
    shards: Iterator[Shard] = (shard for shard in read_plan(job) if not job.part(shard.number).exists())
    if address:
        from serving.bulk.on_ray import classify_on_ray

        return classify_on_ray(job, shards, address)
    from serving.bulk.pool import classify_here

    return classify_here(job, shards, processes)


def _model(config: Config) -> Model:
    """Chooses the highest version that the settings want and that passes its checks. Raises ModelRejectedError."""
    repository = ModelRepository(
        config.model_repository, config.model_name, config.model_public_key, config.model_folder
    )
    version = max(repository.wanted(config.model_version), default=0)
    if not version:
        raise ModelRejectedError("no version of the model is there that --model-version wants")
    model = Model(
        repository=str(config.model_repository.resolve()),
        name=config.model_name,
        folder=str(config.model_folder.resolve()) if config.model_folder else "",
        public_key=str(config.model_public_key.resolve()) if config.model_public_key else "",
        version=version,
        precision=config.precision,
        sha256="",
    )
    return replace(model, sha256=open_model(model, version).sha256)


if __name__ == "__main__":
    sys.exit(main())
