"""Joins finished runs of one kind of network: their networks become the columns of one.

Members may differ in their seeds, in how long they were trained, and in how much other handwriting they saw. The
committee's record has the settings of the first one and, for each member, what may differ.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from training.data.arrays import Weights
from training.errors import RunError
from training.fit.run_folder import MAY_DIFFER, Member, RunFolder, RunRecord


def join(folder: RunFolder, members: Sequence[RunFolder]) -> RunRecord:
    """Write a finished run whose network answers with the mean of the members' logits; its record.

    Args:
        folder: of the new run; it must not have begun.
        members: two finished runs or more, of one column each.

    Raises:
        RunError: there are too few members, one is not finished, or they differ in more than they may.
    """
    if len({member.path for member in members}) < max(len(members), 2):
        raise RunError("a committee takes two or more finished runs, each once")
    records = [member.read_record() for member in members]
    first = records[0]
    for member, record in zip(members, records, strict=True):
        same = dataclasses.replace(record.config, **{name: getattr(first.config, name) for name in MAY_DIFFER})
        if same != first.config or record.backend != first.backend:
            raise RunError(
                f"the runs {members[0].name!r} and {member.name!r} differ in more than {', '.join(MAY_DIFFER)}"
            )
        if record.config.columns != 1:
            raise RunError(f"the run {member.name!r} has {record.config.columns} columns already")
    weights: Weights = {}
    for number, member in enumerate(members, start=1):
        own = member.read_weights()
        weights |= {path.replace("column_1_", f"column_{number}_", 1): array for path, array in own.items()}
    record = dataclasses.replace(
        first,
        config=dataclasses.replace(first.config, columns=len(members)),
        git=dataclasses.replace(first.git, dirty=any(each.git.dirty for each in records)),
        started=min(each.started for each in records),
        members=tuple(
            Member(member.name, revision=each.git.revision, **{name: getattr(each.config, name) for name in MAY_DIFFER})
            for member, each in zip(members, records, strict=True)
        ),
    )
    histories = [member.read_json("history.json") for member in members]
    epochs = [[rows[epoch] for rows in histories if epoch < len(rows)] for epoch in range(max(map(len, histories)))]
    folder.write_record(record)
    folder.write_json("history.json", [_epoch(rows) for rows in epochs])
    folder.write_weights(weights)
    return record


def _epoch(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """One row of the committee's history: the mean of those members that went on, and the seconds of all together."""
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**mean, "epoch": rows[0]["epoch"], "seconds": sum(row["seconds"] for row in rows)}
