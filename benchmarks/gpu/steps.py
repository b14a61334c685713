"""Steps of a run in their order, and what carries each out."""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Budget

# Settings of the server, by the name of the step that measures it. DEVICE: cuda, or cpu in a rehearsal.
SERVICES = {
    "service on the device": ["--device", "DEVICE"],
    "service on the cpu": ["--device", "cpu"],
    "service on the device, 4 workers": ["--device", "DEVICE", "--workers", "4"],
    "service on the cpu, 1 worker": ["--device", "cpu", "--workers", "1"],
    "service with auto": ["--device", "auto"],
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of a step: with less than `at_least` left it is left out."""

    at_least: float
    at_most: float


STEPS = {
    "machine": Limits(0, 30),
    "start": Limits(5, 60),
    "golden": Limits(5, 60),
    "rates": Limits(10, 60),
    "service on the device": Limits(20, 45),
    "service on the cpu": Limits(20, 45),
    "pieces": Limits(5, 20),
    "rates of mnist-accurate": Limits(20, 60),
    "service on the device, 4 workers": Limits(20, 45),
    "service with auto": Limits(20, 45),
    "tune": Limits(20, 60),
    "service on the cpu, 1 worker": Limits(20, 45),
}


def carry_out(name: str, models: Path, folder: Path, device: str, seconds: float, result: Path) -> None:
    """Runs the step `name` and writes its result, or its error, to `result` as JSON; `folder` is for the server."""
    try:
        found = {"result": _step(name, models, folder, device)(Budget(seconds))}
    except Exception as error:  # the border of a step
        found = {"error": f"{type(error).__name__}: {error}"[:2000], "traceback": traceback.format_exc()}
    result.write_text(json.dumps(found, default=str))


def _step(name: str, models: Path, folder: Path, device: str) -> Callable[[Budget], Any]:
    # Imported here: what cannot be imported on a strange machine fails this step and no other.
    if name == "machine":
        from benchmarks.gpu.card import machine

        return lambda _: machine()
    if name in SERVICES:
        from benchmarks.gpu.service import measure

        flags = [device if flag == "DEVICE" else flag for flag in SERVICES[name]]
        return partial(measure, models, folder / name.replace(" ", "_").replace(",", ""), flags)
    if name == "tune":
        from benchmarks.gpu.service import tune

        return partial(tune, models)
    from benchmarks.gpu.sessions import Sessions
    from serving.host.cpu import usable_cpus

    sessions = Sessions(models, device, usable_cpus(), "mnist-accurate" if name.endswith("mnist-accurate") else "mnist")
    return {
        "start": sessions.start,
        "golden": sessions.golden,
        "rates": sessions.rates,
        "rates of mnist-accurate": sessions.rates,
        "pieces": sessions.pieces,
    }[name]
