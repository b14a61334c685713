import dataclasses
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.support.tiny_training import TINY
from training.data.arrays import LabelledDigits
from training.errors import ExportError
from training.export.checks import check_quantized, onnx_predictions
from training.export.onnx_graph import onnx_model
from training.export.quantization import quantized
from training.fit.run_folder import RunFolder
from training.network.folding import Dense, FoldedColumn, FoldedNetwork, fold


@pytest.fixture(scope="module")
def graph(finished_run: RunFolder) -> bytes:
    """The trained tiny network in float32."""
    return onnx_model(fold(finished_run.read_weights()), 1.3, {}, 1, "text").SerializeToString()


@pytest.fixture(scope="module")
def integers(graph: bytes, digits: LabelledDigits) -> bytes:
    """The same in 8 bits."""
    return quantized(graph, digits.pixels)


def test_inputs_and_outputs_stay_what_they_were(graph: bytes, integers: bytes) -> None:
    before, after = onnx.load_from_string(graph).graph, onnx.load_from_string(integers).graph
    assert list(before.input) == list(after.input)
    assert list(before.output) == list(after.output)


def test_all_convolutions_but_the_first_and_the_hidden_layer_have_integer_kernels(integers: bytes) -> None:
    kinds = {each.name: numpy_helper.to_array(each).dtype for each in onnx.load_from_string(integers).graph.initializer}
    assert kinds["convolution_1_kernel"] == np.float32
    assert {kinds[f"convolution_{number}_kernel_quantized"] for number in (2, 3)} == {np.dtype(np.int8)}
    assert kinds["hidden_kernel_quantized"] == np.int8
    assert kinds["logits_kernel"] == kinds["novelty_logit_kernel"] == np.float32


def test_kernels_use_seven_bits_so_that_sums_of_two_products_fit_everywhere(integers: bytes) -> None:
    tensors = {each.name: numpy_helper.to_array(each) for each in onnx.load_from_string(integers).graph.initializer}
    assert 50 < np.abs(tensors["convolution_2_kernel_quantized"].astype(int)).max() <= 64


def test_predictions_stay_near_float32(graph: bytes, integers: bytes, digits: LabelledDigits) -> None:
    one, other = onnx_predictions(graph, digits), onnx_predictions(integers, digits)
    difference = np.abs(one.probabilities - other.probabilities)
    assert 0 < difference.max() < 0.1
    assert check_quantized(integers, dataclasses.replace(one, probabilities=other.probabilities)).runtime_images == 400


def test_columns_are_quantized_each_as_one_alone(
    finished_run: RunFolder, integers: bytes, digits: LabelledDigits
) -> None:
    column = fold(finished_run.read_weights()).columns[0]
    twice = onnx_model(FoldedNetwork((column, column)), 1.3, {}, 1, "text").SerializeToString()
    found = quantized(twice, digits.pixels)
    kinds = {each.name: numpy_helper.to_array(each).dtype for each in onnx.load_from_string(found).graph.initializer}
    assert {kinds[f"column_{column}_convolution_2_kernel_quantized"] for column in (1, 2)} == {np.dtype(np.int8)}
    one, other = onnx_predictions(integers, digits), onnx_predictions(found, digits)
    np.testing.assert_allclose(other.probabilities, one.probabilities, rtol=0, atol=1e-5)


def test_a_network_whose_first_convolution_is_not_pooled_keeps_its_function(
    finished_run: RunFolder, digits: LabelledDigits
) -> None:
    column = fold(finished_run.read_weights()).columns[0]
    first, second = column.convolutions[:2]
    # Another network by the weights of the tiny one: its second convolution sees all of the first one's pixels.
    convolutions = (replace(first, is_pooled=False), replace(second, input_side=first.output_side))
    side, filters = convolutions[-1].output_side // 2, second.kernel.shape[0]
    hidden = Dense(
        np.resize(column.hidden.kernel, (side * side * filters, column.hidden.kernel.shape[1])), column.hidden.bias
    )
    graph = onnx_model(FoldedNetwork((FoldedColumn(convolutions, hidden, column.logits),)), 1.3, {}, 1, "text")
    one = onnx_predictions(graph.SerializeToString(), digits)
    other = onnx_predictions(quantized(graph.SerializeToString(), digits.pixels), digits)
    assert np.mean(one.digit == other.digit) > 0.9


def test_a_form_that_reads_other_digits_is_not_exported(integers: bytes, graph: bytes, digits: LabelledDigits) -> None:
    answers = onnx_predictions(graph, digits)
    wrong = dataclasses.replace(answers, probabilities=np.roll(answers.probabilities, 1, axis=1))
    with pytest.raises(ExportError, match=r"int8: .* of the digits differ"):
        check_quantized(integers, wrong)


def test_the_tiny_network_is_one_column() -> None:
    assert TINY.columns == 1  # the names of the nodes above are those of a single column
