"""What is odd in a model that is served breaks no response: the largest version number, and answers without numbers."""

import json
import shutil
from pathlib import Path

import aiohttp
import grpc
import pytest

from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from serving.version_policy import LARGEST_VERSION
from tests.support.changing_repository import metric
from tests.support.committed_models import committed
from tests.support.servers import StartServer
from tests.support.tiny_model import (
    graph_without_numbers,
    image_of,
    image_without_numbers,
    rewrite_metadata,
    write_tiny_version,
)


def no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


async def http_answers(server: Standalone, image: bytes) -> list[str]:
    """Responses to this image by every path that returns JSON of predictions, parsed strictly."""
    infer = {"inputs": [{"name": "pixels", "shape": [1, 784], "datatype": "UINT8", "data": list(image)}]}
    requests: list[tuple[str, bytes]] = [
        ("/v1/classify", image),
        ("/v2/models/mnist/infer", json.dumps(infer).encode()),
        ("/v1/models/mnist:predict", json.dumps({"instances": [list(image)]}).encode()),
        (
            "/mnist.v1.DigitClassifier/Classify",
            digits_pb2.ClassifyRequest(images=[{"pixels": image}]).SerializeToString(),
        ),
    ]
    answers = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        for path, body in requests:
            headers = {"content-type": "application/proto"} if "Classify" in path else {}
            async with session.post(path, data=body, headers=headers) as response:
                content = await response.read()
                assert response.status == 200, (path, content)
                if "Classify" not in path:
                    json.loads(content, parse_constant=no_number)
                    answers.append(content.decode())
    return answers


@pytest.mark.parametrize("output", ["novelty", "probabilities"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_an_image_for_which_the_model_has_no_numbers_is_refused_in_json_too(
    output: str, value: float, start_server: StartServer, tmp_path: Path
) -> None:
    write_tiny_version(tmp_path, graph=graph_without_numbers(output, value))
    async with (
        start_server(model_repository=tmp_path) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        images = [{"pixels": image} for image in (image_of(3), image_without_numbers(), image_of(4))]
        response = await DigitClassifierStub(channel).Classify(digits_pb2.ClassifyRequest(images=images))
        sound, spoilt, other = response.predictions
        assert ([sound.digit, other.digit], sound.refused, other.refused) == ([3, 4], False, False)
        assert (spoilt.refused, spoilt.refusal, spoilt.novelty) == (True, digits_pb2.REFUSAL_NOVEL, 1.0)
        assert list(spoilt.probabilities) == pytest.approx([0.1] * 10)
        classified, *_ = await http_answers(server, image_without_numbers())
        assert json.loads(classified)["refusal"] == "novel"
        assert await metric(server, 'mnist_refused_total{reason="novel"} 5.0')


async def test_an_image_without_numbers_is_explained_as_it_is_classified(
    start_server: StartServer, tmp_path: Path
) -> None:
    folder = shutil.copytree(committed("mnist"), tmp_path / "mnist" / "1")
    graph = graph_without_numbers("probabilities", float("nan"), (folder / "model.onnx").read_bytes())
    (folder / "model.onnx").write_bytes(graph)
    rewrite_metadata(folder)
    async with (
        start_server(model_repository=tmp_path) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        request = digits_pb2.ExplainRequest(image={"pixels": image_without_numbers()})
        explained = await DigitClassifierStub(channel).Explain(request)
        assert (explained.prediction.refused, explained.prediction.novelty) == (True, 1.0)
        assert len(explained.layers) > 1


async def test_the_largest_version_number_is_served_by_every_method(start_server: StartServer, tmp_path: Path) -> None:
    write_tiny_version(tmp_path, LARGEST_VERSION)
    async with (
        start_server(model_repository=tmp_path) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        digits, inference = DigitClassifierStub(channel), GRPCInferenceServiceStub(channel)
        for version in (0, LARGEST_VERSION):
            request = digits_pb2.ClassifyRequest(images=[{"pixels": image_of(3)}], model_version=version)
            assert (await digits.Classify(request)).model_version == LARGEST_VERSION
            described = await digits.GetModel(digits_pb2.GetModelRequest(model_version=version))
            assert (described.version, list(described.served_versions)) == (LARGEST_VERSION, [LARGEST_VERSION])
        index = await inference.RepositoryIndex(protocol.RepositoryIndexRequest())
        assert [(each.version, each.state) for each in index.models] == [(str(LARGEST_VERSION), "READY")]
        name = {"name": "mnist", "version": str(LARGEST_VERSION)}
        assert (await inference.ModelReady(protocol.ModelReadyRequest(**name))).ready
        metadata = await inference.ModelMetadata(protocol.ModelMetadataRequest(**name))
        assert list(metadata.versions) == [str(LARGEST_VERSION)]
        statistics = await inference.ModelStatistics(protocol.ModelStatisticsRequest(**name))
        assert statistics.model_stats[0].version == str(LARGEST_VERSION)
        for answer in (await http_answers(server, image_of(3)))[:2]:
            assert str(LARGEST_VERSION) in answer
        assert await metric(server, f'version="{LARGEST_VERSION}"')


async def test_a_description_with_every_sign_that_is_allowed_is_shown(
    start_server: StartServer, repository: Path
) -> None:
    rewrite_metadata(repository / "mnist" / "1", created='"\\{}ü漢\U0001f600')
    async with start_server(model_repository=repository) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            described = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest())
        assert described.created == '"\\{}ü漢\U0001f600'
