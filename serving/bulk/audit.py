"""Audit of a finished job: every shard has its file, with as many rows as it should have, and every id stands once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.bulk.job import BulkError, Job, Shard, read_plan
from serving.bulk.results import read_back

IDS_AT_ONCE = 16_000_000  # of which 8 bytes each are held; of more ids a part is looked at in each of several passes


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of all results."""

    shards: int
    rows: int
    ids: int  # that differ
    refused: int
    errors: int


def audit(job: Job, ids_at_once: int = IDS_AT_ONCE) -> Audit:
    """Reads the results back and counts them. Raises BulkError where rows are missing or more than there should be."""
    shards = rows = refused = errors = 0
    for shard in read_plan(job):
        found = 0
        for ids, refusals, reasons in _columns(job, shard):
            found += len(ids)
            refused += len(refusals) - refusals.count("")
            errors += len(reasons) - reasons.count(None)
        if shard.rows is not None and found != shard.rows:
            raise BulkError(f"{job.part(shard.number)} has {found:,} rows, not {shard.rows:,}: delete it and --resume")
        shards, rows = shards + 1, rows + found
    passes = max(1, -(-rows // ids_at_once))
    different = sum(_different(job, rows // passes + 1, number, passes) for number in range(passes))
    return Audit(shards, rows, different, refused, errors)


def _different(job: Job, expected: int, number: int, passes: int) -> int:
    """Counts the different ids whose hash leaves the remainder `number` when divided by `passes`."""
    held: npt.NDArray[np.uint64] = np.empty(expected + expected // 8 + 1024, np.uint64)  # hashes spread evenly, nearly
    count = 0
    for shard in read_plan(job):
        for ids, _, _ in _columns(job, shard):
            # Python's own hash: salted in each process, so no input can be made to collide.
            hashes = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
            chosen = hashes[hashes % np.uint64(passes) == number] if passes > 1 else hashes
            if count + len(chosen) > len(held):
                held = np.concatenate([held, np.empty(len(held), np.uint64)])
            held[count : count + len(chosen)] = chosen
            count += len(chosen)
    held = np.sort(held[:count])
    return int(np.count_nonzero(held[1:] != held[:-1])) + (count > 0)


def _columns(job: Job, shard: Shard) -> Iterator[tuple[list[str], list[str], list[str | None]]]:
    try:
        yield from read_back(job.part(shard.number), job.format)
    except FileNotFoundError as error:
        raise BulkError(f"{error.filename} is missing: go on with --resume") from error
