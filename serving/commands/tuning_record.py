"""What `--tune` found, remembered beside the model: read and written as JSON. Decides nothing."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.commands.tuning import SIZES, Curve, Picked

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a finding depends on: where any of it differs, it says nothing."""

    processor: str
    usable_cpus: int
    onnxruntime: str
    device: str
    graphs: dict[str, str]  # SHA-256 by precision, of those that were to be tried
    threads: list[int]  # of one inference, that were to be tried
    largest_batch: int  # images that one inference may have at most


def remembered(path: Path, conditions: Conditions) -> tuple[list[Curve], Picked] | None:
    """What was found under the same conditions; None where there is none, or the file is of no use."""
    try:
        record = json.loads(path.read_bytes())
        if record["schema_version"] != SCHEMA_VERSION or record["conditions"] != asdict(conditions):
            return None
        curves = [_curve(curve) for curve in record["curves"]]
        picked = Picked(**record["picked"])
        known = {(curve.precision, curve.threads) for curve in curves}
        is_known = (picked.precision, picked.inference_threads) in known and picked.max_batch_size in SIZES
        are_whole = type(picked.inference_threads) is type(picked.max_batch_size) is int
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None
    return (curves, picked) if is_known and are_whole else None


def remember(path: Path, conditions: Conditions, curves: list[Curve], picked: Picked) -> None:
    """Writes it in one step. Raises OSError."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "conditions": asdict(conditions),
        "curves": [asdict(curve) for curve in curves],
        "picked": asdict(picked),
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(record, indent=2))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _curve(record: dict[str, Any]) -> Curve:
    seconds = tuple(float(value) for value in record["seconds"])
    if len(seconds) != len(SIZES) or not all(value > 0 for value in seconds):
        raise ValueError("no curve")
    return Curve(str(record["precision"]), int(record["threads"]), seconds)
