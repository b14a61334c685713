"""The model versions that are committed, so that no test names their numbers."""

from pathlib import Path

from tests.support.processes import ROOT


def committed(model: str) -> Path:
    """The folder of the highest committed version of a model, such as `mnist`."""
    return max((ROOT / "models" / model).glob("[0-9]*"), key=lambda folder: int(folder.name))


def version_name(model: str) -> str:
    """That version as the documents name it, such as `mnist/4`."""
    return f"{model}/{committed(model).name}"
