"""Joins two model versions of the repository in one graph, as a version of another model."""

from collections.abc import Iterable
from pathlib import Path

from training.commands.data import load_data, say
from training.commands.drift import populations_if_possible
from training.config import Places
from training.data.split import recorded_split
from training.errors import ExportError
from training.evaluation.stand_ins import stand_ins
from training.export.cascade_version import CascadeReport, StageVersion, export_cascade, shared_settings


def join(places: Places, fast: Path, second: Path, unsure_below: float | None, int8: bool) -> None:
    """Choose, join, check and write; say what was chosen and what it costs. With `int8` also in 8 bits.

    Args:
        places: where data and models are.
        fast: the version that answers all images.
        second: the one that answers where the first is unsure.
        unsure_below: the threshold between them; None: it is chosen.
        int8: write the int8 form as well.

    Raises:
        ExportError: a stage cannot be read, the two do not fit together, or they are no better together.
    """
    stages = StageVersion.read(fast), StageVersion.read(second)
    if places.model in {each.metadata["name"] for each in stages}:
        raise ExportError(
            f"--model {places.model} is the name of a stage: name the cascade otherwise, such as mnist-cascade"
        )
    settings = shared_settings(*stages)  # refused before MNIST is fetched
    split = recorded_split(load_data(places), settings)
    others = list(stand_ins(split.validation).values())
    populations = populations_if_possible(places.cache, split.validation)
    forms = {places.model: False, f"{places.model}-int8": True} if int8 else {places.model: False}
    for name, in_int8 in forms.items():
        repository = Path(places.model_repository)
        _say_what_was_written(
            export_cascade(
                *stages, split, others, repository, name, populations, unsure_below=unsure_below, int8=in_int8
            ),
            stages,
        )


def _say_what_was_written(report: CascadeReport, stages: Iterable[StageVersion]) -> None:
    cascade = report.metadata["cascade"]
    say(
        f"unsure is a largest probability below {cascade['unsure_below']}: {cascade['unsure_share']:.2%} of the"
        f" {report.images:,} validation rows, {report.metadata['multiply_adds']:,} multiply-adds a row on average"
    )
    for each in (*(stage.metadata for stage in stages), report.metadata):
        figures = each["metrics"]["mnist_validation"]
        say(f"{each['name']}: validation accuracy {figures['accuracy']:.2%}, loss {figures['nll']:.5f} nats")
    say(
        f"checked: valid ONNX; ONNX Runtime agrees with its stages on {report.images:,} images"
        f" (largest difference {report.difference:.1e})"
    )
    say(f"written: {report.folder}")
