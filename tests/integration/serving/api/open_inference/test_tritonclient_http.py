"""Triton's own client over HTTP against this server: tritonclient_http_program says what it saw."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from serving.api.engine.loop import CompletionQueueLoop
from serving.config import Config
from serving.logging import get_logger
from serving.process.standalone import Standalone
from tests.integration.serving.api.open_inference.test_tritonclient import ENVIRONMENT, PICTURE
from tests.support.engine import ENGINE
from tests.support.processes import started_on_loop

PROGRAM = Path(__file__).with_name("tritonclient_http_program.py")
Outcomes = dict[str, Any]


@pytest.fixture(scope="module")
def saw(tiny_repository: Path) -> Outcomes:
    with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
        return runner.run(_see(tiny_repository))


async def _see(tiny_repository: Path) -> Outcomes:
    config = Config(model_repository=tiny_repository, device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0)
    async with Standalone(config, get_logger()) as server:
        command = (ENVIRONMENT / "bin/python", PROGRAM, f"127.0.0.1:{server.http_port}", PICTURE)
        async with started_on_loop(command, stdout=asyncio.subprocess.PIPE) as program:
            output, _ = await program.communicate()
        assert program.returncode == 0
        seen: Outcomes = json.loads(output)
        return seen


def test_it_finds_the_server_ready_and_reads_what_it_is(saw: Outcomes) -> None:
    assert [saw[question] for question in ("is live", "is ready", "model is ready")] == [True] * 3
    assert [saw[f"unknown {what}'s readiness"] for what in ("model", "version")] == [False, False]
    assert saw["described by asyncio"] == [True, True, False]
    assert saw["server metadata"]["name"] == "mnist-digits"
    assert "binary_tensor_data" in saw["server metadata"]["extensions"]
    assert saw["model metadata"] == {
        "name": "mnist",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 784]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "digit", "datatype": "INT64", "shape": [-1, 1]},
            {"name": "novelty", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "refused", "datatype": "BOOL", "shape": [-1, 1]},
        ],
    }
    assert saw["configuration"]["max_batch_size"] == 1024
    assert saw["configuration"]["input"][0]["dims"] == [784]
    assert saw["index"] == [{"name": "mnist", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize(
    "case", ["binary", "json", "json in, binary out", "binary in, json out", "gzip", "deflate", "patience"]
)
def test_every_form_of_request_and_answer_is_read(saw: Outcomes, case: str) -> None:
    assert saw[case] == [3, 1, 4]


@pytest.mark.parametrize(
    "datatype", ["float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64"]
)
def test_floats_of_0_to_1_and_integers_of_0_to_255_are_read(saw: Outcomes, datatype: str) -> None:
    assert saw[f"datatype {datatype}"] == [3, 1, 4]


def test_many_calls_at_once_get_their_answers(saw: Outcomes) -> None:
    assert saw["async"] == saw["asyncio"] == [[3, 1, 4]] * 8


def test_what_a_caller_asks_for_is_honoured(saw: Outcomes) -> None:
    assert (saw["id"], saw["version"]) == ("request 7", "1")
    assert saw["every output"] == {"probabilities": [3, 10], "digit": [3, 1], "novelty": [3, 1], "refused": [3, 1]}
    assert [row[0].split(":")[1:] for row in saw["classes"]] == [["3", "3"], ["1", "1"], ["4", "4"]]
    assert len(saw["pictures"]) == 1
    assert saw["statistics"] == [1] * 5


def test_what_the_server_does_not_have_is_said_as_triton_says_it_with_the_feature_off(saw: Outcomes) -> None:
    assert saw["load"] is None
    assert saw["trace settings"] == "OFF"
    assert saw["log settings"] is True
    assert [saw["regions"], saw["regions of a card"]] == [[], []]
    assert [saw["no region any more"], saw["no region of a card any more"]] == [None, None]


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("unknown model", "404", "model 'cats' is not served; mnist is"),
        ("unknown version", "404", "model version '9' is not served; version 1 is"),
        ("unscaled", "400", "FP32 values must be 0 to 1"),
        ("unscaled json", "400", "FP32 values must be 0 to 1"),
        ("not a number", "400", "got nan to nan"),
        ("unknown output", "400", "no output 'logits'"),
        ("unknown input", "400", "exactly one input, `pixels`"),
        ("wrong shape", "400", "shape [2, 32, 32] of UINT8, expected [n, 784]"),
        ("shared memory", "400", "shared memory is not supported"),
        ("no picture", "400", "image 0: "),
        ("load with a configuration", "400", "'config' in the request is not used"),
        ("unload", "501", "is not unloaded by requests"),
        ("new trace settings", "501", "settings are not changed by requests"),
        ("new log settings", "501", "settings are not changed by requests"),
        ("new region", "501", "shared memory is not supported"),
    ],
)
def test_what_cannot_be_answered_has_its_status_and_says_why(saw: Outcomes, case: str, status: str, words: str) -> None:
    assert saw[case]["status"] == status
    assert words in saw[case]["message"]
