"""Two graphs in one: its predictions are those of both, run one by one and joined outside, in every batch."""

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.committed_models import committed
from training.data.arrays import PIXELS, LabelledDigits, Pixels
from training.errors import ExportError
from training.evaluation.predictions import Predictions
from training.export.cascade import Joint, cascade_model, choose_unsure_below, novelty_power
from training.export.checks import check_cascade, onnx_predictions, runtime_session
from training.export.onnx_graph import IR_VERSION, OPSET, onnx_model
from training.network.folding import Convolution, Dense, FoldedColumn, FoldedNetwork

INT8 = (committed("mnist-int8") / "model.onnx").read_bytes()


@functools.cache
def tiny(columns: int, seed: int) -> bytes:
    """A serialized graph with random weights: one convolution and a hidden layer in each column."""
    generator = np.random.default_rng(seed)

    def normal(deviation: float, *shape: int) -> npt.NDArray[np.float32]:
        return generator.normal(0, deviation, shape).astype(np.float32)

    def column() -> FoldedColumn:
        convolution = Convolution(normal(0.002, 3, 1, 5, 5), normal(0.1, 3), 0, 28, is_pooled=True)
        hidden, logits = Dense(normal(0.1, 3 * 12 * 12, 8), normal(0.1, 8)), Dense(normal(0.9, 8, 11), normal(0.2, 11))
        return FoldedColumn((convolution,), hidden, logits)

    network = FoldedNetwork(tuple(column() for _ in range(columns)))
    return onnx_model(network, 1.1, {}, 1, "text").SerializeToString()


def pictures(count: int, seed: int = 0) -> LabelledDigits:
    generator = np.random.default_rng(seed)
    pixels: Pixels = generator.integers(0, 256, (count, PIXELS), np.uint8)
    pixels[generator.random(count) < 0.5] //= 4
    return LabelledDigits(pixels, generator.integers(0, 10, count))


def between(confidences: npt.NDArray[np.float32]) -> float:
    """A threshold in the widest gap, where no rounding matters."""
    ordered = np.sort(confidences)
    place = int(np.argmax(np.diff(ordered))) if len(ordered) > 1 else 0
    return float(np.mean(ordered[place : place + 2]))


def joined(fast: bytes, second: bytes, joint: Joint) -> bytes:
    return cascade_model(fast, second, joint, {"version": "1"}, 1, "text").SerializeToString()


@pytest.mark.parametrize("fast", [tiny(1, 1), tiny(2, 1), INT8], ids=["one column", "two columns", "int8"])
@pytest.mark.parametrize("unsure", ["none", "some", "all"])
@pytest.mark.parametrize("size", [1, 2, 16, 64, 257])
def test_none_some_and_all_rows_unsure_in_every_batch(fast: bytes, unsure: str, size: int) -> None:
    digits, second = pictures(size), tiny(3, 2)
    first, other = onnx_predictions(fast, digits), onnx_predictions(second, digits)
    joint = Joint({"none": 0.0, "some": between(first.confidence), "all": 1.1}[unsure], 0.7)
    count = int(joint.is_unsure(first).sum())
    assert {"none": count == 0, "some": size == 1 or 0 < count < size, "all": count == size}[unsure]
    assert check_cascade(joined(fast, second, joint), joint.merged(first, other)) <= 1e-6


@given(
    count=st.integers(1, 70),
    seed=st.integers(0, 1000),
    unsure_below=st.floats(0, 1, width=32),
    power=st.floats(0.125, 8, width=32),
)
def test_any_batch_at_any_threshold(count: int, seed: int, unsure_below: float, power: float) -> None:
    fast, second, joint = tiny(1, 1), tiny(2, 2), Joint(unsure_below, power)
    digits = pictures(count, seed)
    # One run a graph: a batch of another size may round otherwise, and a row at the threshold then change its stage.
    found, first, other = (_at_once(each, digits) for each in (joined(fast, second, joint), fast, second))
    expected = joint.merged(first, other)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.novelty, expected.novelty, rtol=0, atol=1e-6)


def test_an_empty_batch_has_empty_answers() -> None:
    session = runtime_session(joined(tiny(1, 1), tiny(2, 2), Joint(0.5, 1)))
    answers = session.run(["probabilities", "digit", "novelty"], {"pixels": np.zeros((0, PIXELS), np.uint8)})
    assert [each.shape for each in answers] == [(0, 10), (0,), (0,)]


def test_the_graph_says_what_it_is_and_no_name_stands_for_two_things() -> None:
    model = onnx.load_from_string(joined(tiny(1, 1), tiny(2, 2), Joint(0.5, 1)))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert {each.key: each.value for each in model.metadata_props} == {"version": "1"}
    graphs = [model.graph, *(each.g for node in model.graph.node for each in node.attribute if each.HasField("g"))]
    values = [name for graph in graphs for node in graph.node for name in node.output]
    values += [tensor.name for graph in graphs for tensor in graph.initializer]
    assert len(set(values)) == len(values)


def test_a_wrong_prediction_stops_the_export() -> None:
    digits, joint = pictures(20), Joint(0.5, 1)
    expected = joint.merged(onnx_predictions(tiny(1, 1), digits), onnx_predictions(tiny(2, 2), digits))
    other = dataclasses.replace(expected, novelty=expected.novelty * np.float32(0.99))
    with pytest.raises(ExportError, match=r"batches of 1: a novelty differs from its stages'"):
        check_cascade(joined(tiny(1, 1), tiny(2, 2), joint), other)


def test_a_graph_of_other_outputs_is_no_stage() -> None:
    model = onnx.load_from_string(tiny(1, 1))
    del model.graph.output[2]
    with pytest.raises(ExportError, match="stage second is none that this package exported"):
        joined(tiny(1, 1), model.SerializeToString(), Joint(0.5, 1))


def test_the_power_maps_one_threshold_to_the_other() -> None:
    power = novelty_power(0.13, 0.09)
    assert 0.09**power == pytest.approx(0.13)
    for thresholds in ((0.0, 0.1), (0.1, 1.0)):
        with pytest.raises(ExportError, match="must lie between 0 and 1"):
            novelty_power(*thresholds)


def test_unsure_is_the_least_from_which_on_nothing_is_worse() -> None:
    # By the fast stage's confidence: at 0.3 the second stage reads rightly what the first does not; so at 0.6, but at
    # 0.5 it is the second that is wrong.
    first = _sure([0.3, 0.5, 0.6, 0.9, 0.9], right=[False, True, False, True, True])
    second = _sure([0.9] * 5, right=[True, False, True, True, True])
    assert choose_unsure_below(first, second) == 0.61
    sent = Joint(0.31, 1).merged(first, second)  # as good as the second alone, but 0.51 is worse
    assert np.sum(sent.digit == sent.digits.labels) == np.sum(second.digit == second.digits.labels)


def test_unsure_may_be_nearly_sure() -> None:
    first = _sure([0.3, 0.9945, 0.999], right=[False, False, True])
    second = _sure([0.9, 0.9, 0.999], right=[True, True, True])
    assert choose_unsure_below(first, second) == 0.995


def test_two_that_are_no_better_together_are_not_joined() -> None:
    good, bad = _sure([0.9] * 4, right=[True] * 4), _sure([0.9] * 4, right=[False] * 4)
    with pytest.raises(ExportError, match="the fast stage alone is no worse"):
        choose_unsure_below(good, bad)
    surely_wrong = _sure([0.999] * 4, right=[False] * 4)
    with pytest.raises(ExportError, match="no share of the rows is enough"):
        choose_unsure_below(surely_wrong, good)


def _at_once(graph: bytes, digits: LabelledDigits) -> Predictions:
    session: onnxruntime.InferenceSession = runtime_session(graph)
    return Predictions(digits, *session.run(["probabilities", "novelty"], {"pixels": digits.pixels}))


def _sure(confidences: list[float], right: list[bool]) -> Predictions:
    """Predictions of this confidence for images of the digit 0; read as 1 where not right."""
    probabilities = np.zeros((len(right), 10), np.float32)
    for row, (confidence, is_right) in enumerate(zip(confidences, right, strict=True)):
        probabilities[row] = (1 - confidence) / 9
        probabilities[row, 0 if is_right else 1] = confidence
    digits = LabelledDigits(np.zeros((len(right), PIXELS), np.uint8), np.zeros(len(right), np.int64))
    return Predictions(digits, probabilities, np.zeros(len(right), np.float32))
