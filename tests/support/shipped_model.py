"""The newest committed version of the model, loaded as the server loads it, on one thread."""

import functools

from serving.models.loaded_model import LoadedModel, load_form
from serving.models.metadata import read_form
from serving.models.onnx_session import OnnxSession
from tests.support.committed_models import committed

LARGEST_BATCH = 128


@functools.cache
def shipped_model() -> LoadedModel:
    newest = committed("mnist")
    form = read_form(newest, "mnist", int(newest.name))
    return load_form(form, lambda graph, _: OnnxSession(graph, "cpu", threads=1), LARGEST_BATCH)
