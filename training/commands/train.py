"""`train`: a run that is finished, or that can be resumed."""

from training.commands.context import console, mnist_of, run_folder, say, synthetic_of
from training.fit.training_run import begin, train
from training.request import Request


def execute(request: Request) -> None:
    """Train until finished or interrupted."""
    folder = run_folder(request)
    mnist = mnist_of(request)
    record = begin(folder, request.training, request.resume, request.restart)
    synthetic = synthetic_of(request, record.config, mnist)
    try:
        history = train(folder, record.config, mnist, synthetic, console)
    except KeyboardInterrupt:
        say(f"\nGo on with: python -m training {request.command} --resume --run {folder.name}")
        raise
    last, minutes = history[-1], sum(each.seconds for each in history) / 60
    say(f"{folder.path}: {last.epoch} epochs in {minutes:.1f} min, validation accuracy {last.validation_accuracy:.2%}")
