"""`evaluate`: metrics.json and pictures of a finished run."""

from rich.console import Console
from rich.table import Table

from training.commands.context import mnist_of, run_folder, say, stand_ins_of
from training.evaluation.evaluate import judge
from training.evaluation.figures import Evaluation
from training.evaluation.plots import draw_pictures
from training.request import Request


def execute(request: Request) -> None:
    """Measure, write, draw, and print the figures."""
    folder = run_folder(request)
    config, weights = folder.read_record().config, folder.read_weights()
    mnist = mnist_of(request)
    judgement = judge(config, weights, mnist, stand_ins_of(config, mnist))
    folder.write_json(folder.metrics.name, judgement.evaluation)
    draw_pictures(folder.path, folder.read_json("history.json"), judgement.test.digits, judgement.test.probabilities)
    Console().print(_table(judgement.evaluation))
    say(f"metrics.json and pictures are in {folder.path}")


def _table(evaluation: Evaluation) -> Table:
    validation, test = evaluation["metrics"]["mnist_validation"], evaluation["metrics"]["mnist_test"]
    table = Table("", "validation", "test", title=f"temperature {evaluation['temperature']:.3f}")
    without = test["accuracy_without_known_wrong_labels"]
    table.add_row("accuracy", f"{validation['accuracy']:.2%}", f"{test['accuracy']:.2%}")
    table.add_row("accuracy without the 15 known wrong labels", "", f"{without:.2%}")
    table.add_row("negative log-likelihood (nats)", f"{validation['nll']:.4f}", f"{test['nll']:.4f}")
    table.add_row("Brier score", f"{validation['brier']:.4f}", f"{test['brier']:.4f}")
    for name, key in (("expected calibration error", "ece"), ("refused", "refused")):
        table.add_row(name, f"{validation[key]:.2%}", f"{test[key]:.2%}")  # type: ignore[literal-required]  # both are keys
    return table
