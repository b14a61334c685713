"""Triton's own client against this server, as its users call it: tritonclient_program says what it saw."""

import asyncio
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.api.engine.loop import CompletionQueueLoop
from serving.config import Config
from serving.logging import get_logger
from serving.process.standalone import Standalone
from tests.support.engine import ENGINE
from tests.support.processes import ROOT, completed, started_on_loop

ENVIRONMENT = Path(sys.prefix) / "tritonclient"
PROGRAM = Path(__file__).with_name("tritonclient_program.py")
PICTURE = ROOT / "samples/photo-8.jpg"

Outcomes = dict[str, Any]


@pytest.fixture(scope="module")
def saw(tiny_repository: Path) -> Outcomes:
    """What the program saw, and under "mnist.v1" what our own contract answers to the same picture."""
    with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
        return runner.run(_see(tiny_repository))


async def _see(tiny_repository: Path) -> Outcomes:
    assert ENVIRONMENT.is_dir(), f"{ENVIRONMENT} is missing: `make .venv/tritonclient.installed` makes it"
    config = Config(model_repository=tiny_repository, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0)
    slow = replace(config, max_queue_delay_seconds=1.0)
    async with Standalone(config, get_logger()) as server, Standalone(slow, get_logger()) as slow_server:
        address, slow_address = (f"127.0.0.1:{each.grpc_port}" for each in (server, slow_server))
        command = (ENVIRONMENT / "bin/python", "-W", "error", PROGRAM, address, slow_address, PICTURE)
        async with started_on_loop(command, stdout=asyncio.subprocess.PIPE) as program:
            output, _ = await program.communicate()
        assert program.returncode == 0
        async with grpc.aio.insecure_channel(address) as channel:
            image = digits_pb2.Image(encoded=PICTURE.read_bytes())
            answer = await DigitClassifierStub(channel).Classify(digits_pb2.ClassifyRequest(images=[image]))
        seen: Outcomes = json.loads(output) | {"mnist.v1": answer.predictions[0]}
        return seen


def test_it_finds_the_server_alive_and_ready_and_reads_what_it_is(saw: Outcomes) -> None:
    assert [saw[question] for question in ("is live", "is ready", "model is ready")] == [True] * 3
    assert saw["server metadata"]["name"] == "mnist-digits"
    assert "classification" in saw["server metadata"]["extensions"]
    assert saw["model metadata"] == {
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "tensors": [
            ["pixels", "UINT8", [-1, 784]],
            ["probabilities", "FP32", [-1, 10]],
            ["digit", "INT64", [-1, 1]],
            ["novelty", "FP32", [-1, 1]],
            ["refused", "BOOL", [-1, 1]],
        ],
    }


def test_answers_have_the_shapes_that_the_metadata_and_the_configuration_say(saw: Outcomes) -> None:
    described = {name: [3, *shape[1:]] for name, _, shape in saw["model metadata"]["tensors"] if name != "pixels"}
    configured = {output["name"]: [3, *map(int, output["dims"])] for output in saw["configuration"]["output"]}
    assert saw["shapes"] == described == configured


def test_one_request_gives_every_output_of_every_image(saw: Outcomes) -> None:
    answers = saw["all outputs"]
    assert list(answers) == ["probabilities", "digit", "novelty", "refused"]
    assert answers["digit"] == [3, 1, 4]
    assert answers["refused"] == [False] * 3
    for digit, novelty, probabilities in zip(*(answers[n] for n in ("digit", "novelty", "probabilities")), strict=True):
        assert sum(probabilities) == pytest.approx(1)
        assert max(probabilities) == probabilities[digit]
        assert novelty == pytest.approx(1 - probabilities[digit], abs=1e-6)


def test_outputs_come_in_the_requested_order_and_no_others(saw: Outcomes) -> None:
    assert saw["two outputs"] == ["novelty", "digit"]


def test_the_id_the_version_and_the_time_a_caller_gives_are_honoured(saw: Outcomes) -> None:
    assert saw["id"] == "request 7"
    assert saw["version"] == "1"
    assert saw["patience"] == [3, 1, 4]
    assert saw["late"]["status"] == "DEADLINE_EXCEEDED"


def test_classes_come_as_value_index_label_likeliest_first(saw: Outcomes) -> None:
    rows = saw["classes"]["probabilities"]
    assert [len(row) for row in rows] == [2, 2, 2]
    for row, digit in zip(rows, [3, 1, 4], strict=True):
        value, index, label = row[0].split(":")
        assert float(value) == pytest.approx(1, abs=1e-3)
        assert (index, label) == (str(digit), str(digit))
        assert row[1].endswith(":0:0")  # the others are alike: the first of them


@pytest.mark.parametrize("shape", ["n x 784", "n x 28 x 28", "channel last", "channel first"])
def test_every_usual_shape_of_many_images_is_read(saw: Outcomes, shape: str) -> None:
    assert saw[f"shape {shape}"] == [3, 1, 4]


@pytest.mark.parametrize("shape", ["784", "28 x 28"])
def test_one_image_needs_no_dimension_for_their_number(saw: Outcomes, shape: str) -> None:
    assert saw[f"shape {shape}"] == [3]


@pytest.mark.parametrize(
    "datatype",
    ["float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64"],
)
def test_floats_of_0_to_1_and_integers_of_0_to_255_are_read(saw: Outcomes, datatype: str) -> None:
    assert saw[f"datatype {datatype}"] == [3, 1, 4]


def test_picture_files_are_answered_as_mnist_v1_answers_them(saw: Outcomes) -> None:
    expected = saw["mnist.v1"]
    assert saw["pictures"]["digit"] == [expected.digit] * 2
    assert saw["pictures"]["refused"] == [expected.refused] * 2
    assert saw["pictures"]["probabilities"] == [list(expected.probabilities)] * 2


@pytest.mark.parametrize("datatype", ["UINT8", "FP32", "INT64"])
def test_typed_contents_get_typed_contents(saw: Outcomes, datatype: str) -> None:
    expected = {"raw": 0, "id": "typed", "digit": [3, 1, 4], "refused": [False] * 3, "probabilities": 30}
    assert saw[f"typed {datatype}"] == expected


def test_its_asyncio_client_gets_the_same(saw: Outcomes) -> None:
    assert saw["asyncio"] == [[3, 1, 4]] * 8


def test_the_configuration_and_the_index_name_the_model_and_its_tensors(saw: Outcomes) -> None:
    assert saw["index"] == [{"name": "mnist", "version": "1", "state": "READY"}]
    configuration = saw["configuration"]
    assert (configuration["name"], configuration["platform"]) == ("mnist", "onnxruntime_onnx")
    assert configuration["max_batch_size"] == 1024
    assert configuration["input"] == [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": ["784"]}]
    assert [(o["name"], o["data_type"], o["dims"], "reshape" in o) for o in configuration["output"]] == [
        ("probabilities", "TYPE_FP32", ["10"], False),
        ("digit", "TYPE_INT64", ["1"], True),
        ("novelty", "TYPE_FP32", ["1"], True),
        ("refused", "TYPE_BOOL", ["1"], True),
    ]


def test_statistics_grow_with_each_call(saw: Outcomes) -> None:
    before, after = saw["statistics"]
    grown = {name: after[name] - before[name] for name in before}
    assert (grown["images"], grown["batches"], grown["of 4 images"]) == (3, 1, 1)
    assert [grown[name] for name in ("success", "fail", "queue", "input", "infer", "output")] == [1] * 6
    assert grown["success ns"] > grown["infer ns"] > 0
    assert after["last"] / 1000 == pytest.approx(time.time(), abs=3600)


def test_a_stream_is_answered_in_its_order_and_goes_on_after_a_failure(saw: Outcomes) -> None:
    first, second, third = saw["stream"]
    assert first == {"id": "0", "digit": [3, 1, 4], "final": False}
    assert "shape [1, 3] of UINT8, expected" in second
    assert third == {"id": "2", "digit": [3, 1, 4], "final": True}
    assert saw["stream by asyncio"] == [[str(number), [3, 1, 4], None] for number in range(5)]


def test_what_the_server_does_not_have_is_said_as_triton_says_it_with_the_feature_off(saw: Outcomes) -> None:
    assert saw["load"] is None
    assert [saw[f"unknown {what}'s readiness"] for what in ("model", "version")] == [False, False]
    assert saw["trace settings"] == {"value": ["OFF"]}
    assert saw["log settings"] == {"bool_param": True}
    assert [saw["regions"], saw["regions of a card"]] == [{}, {}]
    assert [saw["no region any more"], saw["no region of a card any more"]] == [None, None]


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("unscaled", "INVALID_ARGUMENT", "FP32 values must be 0 to 1 (divide by 255 or send UINT8), got 0.0 to 255.0"),
        ("not a number", "INVALID_ARGUMENT", "got nan to nan"),
        ("too large", "INVALID_ARGUMENT", "INT32 values must be 0 to 255"),
        ("unknown model", "NOT_FOUND", "model 'cats' is not served; mnist is"),
        ("unknown version", "NOT_FOUND", "model version '9' is not served; version 1 is"),
        ("unknown model's configuration", "NOT_FOUND", "model 'cats' is not served"),
        ("unknown output", "INVALID_ARGUMENT", "no output 'logits'; it has probabilities, digit, novelty, refused"),
        ("unknown input", "INVALID_ARGUMENT", "exactly one input, `pixels`; the request holds 1: 'image'"),
        ("no input", "INVALID_ARGUMENT", "exactly one input, `pixels`; the request holds none"),
        ("wrong shape", "INVALID_ARGUMENT", "shape [2, 32, 32] of UINT8, expected [n, 784]"),
        ("classes of digits", "INVALID_ARGUMENT", "only `probabilities` has classes"),
        ("shared memory", "INVALID_ARGUMENT", "shared memory is not supported"),
        ("no picture", "INVALID_ARGUMENT", "image 0: "),
        ("load with a configuration", "INVALID_ARGUMENT", "'config' in the request is not used"),
        ("load with files", "INVALID_ARGUMENT", "in the request is not used"),
        ("unload", "UNIMPLEMENTED", "is not unloaded by requests"),
        ("new trace settings", "UNIMPLEMENTED", "settings are not changed by requests"),
        ("new log settings", "UNIMPLEMENTED", "settings are not changed by requests"),
        ("new region", "UNIMPLEMENTED", "shared memory is not supported"),
        ("new region of a card", "UNIMPLEMENTED", "shared memory is not supported"),
    ],
)
def test_what_cannot_be_answered_has_its_status_and_says_why(saw: Outcomes, case: str, status: str, words: str) -> None:
    assert saw[case]["status"] == status
    assert words in saw[case]["message"]


BOTH = """
import sys
sys.path.append(sys.argv[1])
if sys.argv[2] == "first":
    import tritonclient.grpc
import serving.process.server
from protos.inference import open_inference_pb2 as ours
from tritonclient.grpc import service_pb2 as theirs
sent = theirs.ModelInferRequest(model_name="mnist", raw_input_contents=[b"1"])
sent.parameters["timeout"].int64_param = 5
read = ours.ModelInferRequest.FromString(sent.SerializeToString())
assert type(read) is not type(sent)
assert read.parameters["timeout"].int64_param == 5
assert theirs.ModelInferRequest.FromString(read.SerializeToString()) == sent
"""


@pytest.mark.parametrize("order", ["first", "last"])
def test_our_contract_and_tritons_live_in_one_process(order: str) -> None:
    (packages,) = ENVIRONMENT.glob("lib/python*/site-packages")
    command = (sys.executable, "-W", "error", "-c", BOTH, packages, order)  # ours come first on the path
    done = completed(command)
    assert done.returncode == 0, done.stderr
