import io

from rich.console import Console

from training.config import TrainingConfig
from training.fit.checkpoint import EpochRecord
from training.fit.progress import training_progress

EPOCH = EpochRecord(
    epoch=2, loss=0.5, accuracy=0.9, validation_loss=0.4, validation_accuracy=0.954, learning_rate=0.001, seconds=10
)


def _shown(force_terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=force_terminal, width=200)
    config = TrainingConfig(epochs=5, train_images=1280, batch_size=128)
    with training_progress(console, config, epochs_done=1) as progress:
        progress.step_done(11, 0.5)
        progress.epoch_done(EPOCH)
    return screen.getvalue()


def test_a_log_file_gets_one_line_per_epoch_with_rate_and_time_left() -> None:
    (line,) = _shown(force_terminal=False).splitlines()
    assert "epoch   2/5" in line
    assert "95.40%" in line
    assert "128 images/s" in line
    assert "0.5 min left" in line


def test_a_terminal_gets_a_bar_over_the_whole_run() -> None:
    shown = _shown(force_terminal=True)
    assert "11/50" in shown
    assert "images/s" in shown
    assert "epoch   2/5" in shown
