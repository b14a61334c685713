"""What was typed on the command line, understood and ready for a command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.config import Places


@dataclass(frozen=True, slots=True)
class Request:
    """One command with its settings."""

    command: str
    places: Places
    training: Mapping[str, Any]  # settings on top of the defaults; `training_run.begin` checks them together
    run: str
    resume: bool
    restart: bool
    int8: bool
    write_cards: bool
    check: bool
    output: str
    seconds: float = 0.0  # of training that `race` gives each run
