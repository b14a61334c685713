"""`export`: the next version in the model repository."""

from pathlib import Path

from training.commands.context import mnist_of, run_folder, say, stand_ins_of
from training.errors import RunError
from training.evaluation.figures import Evaluation
from training.export.model_version import FinishedRun, export_quantized, export_run
from training.request import Request


def execute(request: Request) -> None:
    """Write a finished and evaluated run as a model version."""
    folder = run_folder(request)
    record, weights = folder.read_record(), folder.read_weights()
    if not folder.metrics.exists():
        raise RunError(f"the run {folder.name!r} is not evaluated: `python -m training evaluate --run {folder.name}`")
    evaluation: Evaluation = folder.read_json(folder.metrics.name)
    seconds = sum(each["seconds"] for each in folder.read_json("history.json"))
    run = FinishedRun(record, weights, evaluation, seconds)
    mnist, repository, name = mnist_of(request), Path(request.places.model_repository), request.places.model
    path, report = export_run(run, mnist, repository, name)
    say(
        f"checked: valid ONNX; ONNX Runtime agrees with Keras on {report.runtime_images:,} images"
        f" (largest difference {report.runtime_difference:.1e}),"
        f" the ONNX reference evaluator on {report.reference_images} ({report.reference_difference:.1e})"
    )
    say(f"written: {path}")
    if request.int8:
        path, report = export_quantized(run, mnist, stand_ins_of(record.config, mnist), repository, f"{name}-int8")
        say(f"written: {path}")
        say(f"the largest difference of a probability from float32's: {report.runtime_difference:.2f}")
