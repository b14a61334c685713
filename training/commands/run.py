"""`run`: the whole pipeline."""

from training.commands import evaluate, export, train
from training.request import Request


def execute(request: Request) -> None:
    """Data (which train fetches first), train, evaluate, export."""
    train.execute(request)
    evaluate.execute(request)
    export.execute(request)
