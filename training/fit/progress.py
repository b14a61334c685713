"""Progress of training: a bar on a terminal, one line per epoch anywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.config import TrainingConfig
from training.fit.checkpoint import EpochRecord


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """One epoch in one line."""
    return (
        f"epoch {record.epoch:>3}/{epochs}  loss {record.loss:.4f}  accuracy {record.accuracy:7.2%}"
        f"  validation: loss {record.validation_loss:.4f}  accuracy {record.validation_accuracy:7.2%}"
        f"  {record.seconds:.1f} s"
    )


@dataclass(slots=True)
class PlainProgress:
    """One line per epoch, with the time that is left."""

    console: Console
    config: TrainingConfig
    seconds: list[float] = field(default_factory=list)

    def step_done(self, step: int, loss: float) -> None:
        """Say nothing: a log file is not the place for it."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the line."""
        self.seconds.append(record.seconds)
        left = (self.config.epochs - record.epoch) * sum(self.seconds) / len(self.seconds)
        rate = self.config.steps_per_epoch * self.config.batch_size / record.seconds
        line = epoch_line(record, self.config.epochs)
        self.console.print(f"{line}  {rate:,.0f} images/s  {left / 60:.1f} min left", highlight=False, soft_wrap=True)


@dataclass(slots=True)
class BarProgress:
    """A bar over the whole run, with rate, loss and time left; each epoch leaves its line above."""

    bar: Progress
    task: TaskID
    config: TrainingConfig
    first_step: int
    started: float = field(default_factory=time.monotonic)

    def step_done(self, step: int, loss: float) -> None:
        """Move the bar."""
        rate = (step - self.first_step) * self.config.batch_size / (time.monotonic() - self.started)
        self.bar.update(self.task, completed=step, rate=f"{rate:,.0f} images/s", loss=f"loss {loss:.3f}")

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the line above the bar."""
        self.bar.console.print(epoch_line(record, self.config.epochs), highlight=False)


@contextmanager
def training_progress(
    console: Console, config: TrainingConfig, epochs_done: int
) -> Iterator[PlainProgress | BarProgress]:
    """The progress that suits the console, for a run of which `epochs_done` epochs are over."""
    if not console.is_terminal:
        yield PlainProgress(console, config)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}  {task.fields[loss]}"))
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console) as bar:
        first_step = epochs_done * config.steps_per_epoch
        total = config.epochs * config.steps_per_epoch
        task = bar.add_task("training", total=total, completed=first_step, rate="", loss="")
        yield BarProgress(bar, task, config, first_step)
