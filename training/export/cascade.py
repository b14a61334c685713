"""Two exported graphs as one: the fast stage answers every row, the second one those of which the first is unsure.

1. A row is unsure when the fast stage's largest probability is below a threshold. NonZero finds these rows, Gather
   hands their pixels to the second stage, ScatterND puts its answers in the place of the first ones.
2. All that stands in one branch of an If, which is skipped when no row is unsure: the second stage's thirty nodes take
   15 microseconds for no row at all, a fifth of the fast stage's time for one image.
3. The values of the stages keep their names, after `fast_` and `second_`; `pixels` and the outputs are shared.
4. Each stage has a novelty threshold of its own. The second stage's novelties are raised to a power that maps its
   threshold to that of the fast stage, so that one threshold serves both. 0 and 1 stay, and so does the order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from training.data.arrays import CLASSES
from training.errors import ExportError
from training.evaluation.metrics import accuracy, negative_log_likelihood
from training.evaluation.predictions import Predictions
from training.export.onnx_graph import BATCH, OPSET, packed

FAST, SECOND = "fast_", "second_"
UNSURE = "unsure"  # value of the graph, (n,) float32: 1 where the second stage answers, else 0
_ANSWERS = ["probabilities", "novelty"]  # of a stage; the digit follows from them
# Finer steps would follow single validation rows.
# Hundredths, and thousandths above them: a committee is better than the fast network also where that is rather sure.
_CANDIDATES = np.concatenate([np.arange(0, 100) / 100, np.arange(991, 1000) / 1000])


@dataclass(frozen=True, slots=True)
class Joint:
    """What joins two stages: the probability below which a row is unsure, and the power of the second's novelty."""

    unsure_below: float
    novelty_power: float

    def is_unsure(self, fast: Predictions) -> npt.NDArray[np.bool_]:
        """True for each row that goes to the second stage, (n,)."""
        return np.asarray(fast.confidence < np.float32(self.unsure_below))

    def merged(self, fast: Predictions, second: Predictions) -> Predictions:
        """The cascade's predictions from those of both stages for the same digits."""
        unsure = self.is_unsure(fast)
        probabilities = np.where(unsure[:, np.newaxis], second.probabilities, fast.probabilities)
        novelty = np.where(unsure, second.novelty ** np.float32(self.novelty_power), fast.novelty)
        return Predictions(fast.digits, probabilities, novelty)


def novelty_power(fast_threshold: float, second_threshold: float) -> float:
    """The power that maps the second stage's novelty threshold to the fast stage's.

    Raises:
        ExportError: no power does.
    """
    if not (0 < fast_threshold < 1 and 0 < second_threshold < 1):
        raise ExportError(
            f"the novelty thresholds {fast_threshold} and {second_threshold} must lie between 0 and 1: at 0 or 1 a"
            " stage refuses everything or nothing"
        )
    return float(np.log(fast_threshold) / np.log(second_threshold))


def choose_unsure_below(fast: Predictions, second: Predictions) -> float:
    """The smallest threshold of _CANDIDATES from which on every one is no worse than the second stage alone.

    No worse: as many digits right, and no higher negative log-likelihood. A threshold that is good by the luck of a few
    rows, with worse ones above it, is not chosen.

    Args:
        fast: the fast stage's predictions for the validation rows.
        second: the second stage's, for the same rows.

    Raises:
        ExportError: the fast stage alone is no worse, or every threshold below 1 is.
    """
    labels = fast.digits.labels
    least, most = accuracy(second.probabilities, labels), negative_log_likelihood(second.probabilities, labels)
    chosen = 1.0
    for candidate in _CANDIDATES[::-1]:
        probabilities = Joint(float(candidate), 1).merged(fast, second).probabilities
        if accuracy(probabilities, labels) < least or negative_log_likelihood(probabilities, labels) > most:
            break
        chosen = float(candidate)
    if chosen in (0, 1):
        raise ExportError(
            "a cascade of these two is no use: on the validation rows "
            + ("the fast stage alone is no worse" if chosen == 0 else "no share of the rows is enough to be as good")
            + " than the second one"
        )
    return chosen


def cascade_model(
    fast: bytes, second: bytes, joint: Joint, properties: Mapping[str, str], version: int, description: str
) -> onnx.ModelProto:
    """The joined model, with the inputs and outputs of each stage.

    Args:
        fast: a serialized graph of `onnx_graph` or its int8 form; answers all rows.
        second: another one; answers the rows of which the first is unsure.
        joint: how they are joined.
        properties: text that travels inside the file.
        version: the model version.
        description: what a viewer shows as the model's text.
    """
    first = _stage(fast, FAST)
    unsure_below = numpy_helper.from_array(np.asarray(joint.unsure_below, np.float32), "unsure_below")
    then = _some_unsure(_stage(second, SECOND), joint.novelty_power)
    nodes = [
        *first.node,
        _node("ReduceMax", ["fast_probabilities"], "confidence", axes=[1], keepdims=0),
        _node("Less", ["confidence", "unsure_below"], "is_unsure"),
        _node("Cast", ["is_unsure"], UNSURE, to=TensorProto.FLOAT),
        _node("ReduceSum", [UNSURE], "unsure_count", keepdims=0),
        _node("Cast", ["unsure_count"], "any_unsure", to=TensorProto.BOOL),
        helper.make_node("If", ["any_unsure"], _ANSWERS, name="answers", then_branch=then, else_branch=_none_unsure()),
        _node("ArgMax", ["probabilities"], "digit", axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "mnist_cascade",
        list(first.input),
        list(first.output),
        [*first.initializer, unsure_below],
        doc_string=description,
    )
    return packed(graph, properties, version, description)


def _some_unsure(stage: onnx.GraphProto, power: float) -> onnx.GraphProto:
    """The branch in which the second stage answers some rows, or all."""
    constants = {
        "novelty_power": np.float32(power),
        "all_rows": np.array([-1], np.int64),
        "column_of_rows": np.array([-1, 1], np.int64),
    }
    nodes = [
        _node("NonZero", ["is_unsure"], "unsure_indices"),
        _node("Reshape", ["unsure_indices", "all_rows"], "unsure_rows"),
        _node("Gather", ["pixels", "unsure_rows"], "second_pixels", axis=0),
        *stage.node,
        _node("Pow", ["second_novelty", "novelty_power"], "second_novelty_rescaled"),
        _node("Reshape", ["unsure_indices", "column_of_rows"], "unsure_places"),
        _node("ScatterND", ["fast_probabilities", "unsure_places", "second_probabilities"], "merged_probabilities"),
        _node("ScatterND", ["fast_novelty", "unsure_places", "second_novelty_rescaled"], "merged_novelty"),
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "some_unsure", [], _outputs("merged_"), [*stage.initializer, *initializers])


def _none_unsure() -> onnx.GraphProto:
    """The branch in which the fast stage answers all rows."""
    nodes = [_node("Identity", [f"fast_{name}"], f"same_{name}") for name in _ANSWERS]
    return helper.make_graph(nodes, "none_unsure", [], _outputs("same_"))


def _outputs(prefix: str) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(f"{prefix}probabilities", TensorProto.FLOAT, [BATCH, CLASSES]),
        helper.make_tensor_value_info(f"{prefix}novelty", TensorProto.FLOAT, [BATCH]),
    ]


def _stage(graph: bytes, prefix: str) -> onnx.GraphProto:
    """A stage under prefixed names, without the node of its digit, which the joined graph finds anew. The names of its
    outputs stay; the second stage's input is `second_pixels`.

    Raises:
        ExportError: it is no graph of `onnx_graph`.
    """
    model = onnx.load_from_string(graph)
    found = [(each.domain, each.version) for each in model.opset_import if each.domain == ""]
    if found != [("", OPSET)] or {*_ANSWERS} - {each.name for each in model.graph.output}:
        raise ExportError(f"the graph of the stage {prefix.rstrip('_')} is none that this package exported")
    outputs = list(model.graph.output)
    stage = compose.add_prefix_graph(model.graph, prefix, rename_inputs=prefix == SECOND)
    nodes = [node for node in stage.node if f"{prefix}digit" not in node.output]
    del stage.node[:], stage.output[:]
    stage.node.extend(nodes)
    stage.output.extend(outputs)
    return stage


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, **attributes)
