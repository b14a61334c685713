"""The clients against real servers: answers, errors, retries, TLS."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme

from mnist_digits import AsyncDigitClient, CallError, DigitClient, ImageLike
from mnist_digits.command import cli as client_cli
from mnist_digits.images import SingleImage
from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.process.standalone import Standalone
from tests.support.tiny_model import image_of


class BusyServicer(digits_pb2_grpc.DigitClassifierServicer):
    """Refuses the first calls with a given code, then answers 8."""

    def __init__(self, code: grpc.StatusCode, refusals: int) -> None:
        self.calls = 0
        self._code = code
        self._refusals = refusals

    def Classify(  # noqa: N802  # generated name
        self, request: digits_pb2.ClassifyRequest, context: grpc.ServicerContext
    ) -> digits_pb2.ClassifyResponse:
        self.calls += 1
        if self.calls <= self._refusals:
            context.abort(self._code, "busy")
        return digits_pb2.ClassifyResponse(predictions=[digits_pb2.Prediction(digit=8)] * len(request.images))


class Served:
    """A blocking gRPC server around a servicer, on a free port."""

    def __init__(
        self, servicer: digits_pb2_grpc.DigitClassifierServicer, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self._server = grpc.server(ThreadPoolExecutor(2))
        digits_pb2_grpc.add_DigitClassifierServicer_to_server(servicer, self._server)
        if credentials is None:
            port = self._server.add_insecure_port("localhost:0")
        else:
            port = self._server.add_secure_port("localhost:0", credentials)
        self.address = f"localhost:{port}"

    def __enter__(self) -> str:
        self._server.start()
        return self.address

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


def busy(code: grpc.StatusCode, refusals: int) -> tuple[BusyServicer, Served]:
    servicer = BusyServicer(code, refusals)
    return servicer, Served(servicer)


async def test_both_clients_give_the_same_typed_answers_for_every_kind_of_image(
    server: Standalone, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{server.grpc_port}"
    file = tmp_path / "six.bin"
    file.write_bytes(image_of(6))
    flat = np.frombuffer(image_of(4), np.uint8)
    images: list[ImageLike] = [image_of(3), flat, flat.reshape(28, 28), file]

    def ask() -> object:
        with DigitClient(address) as client:
            return client.classify(images, model_version=1), client.get_model()

    async with AsyncDigitClient(address) as client:
        predictions, model = await client.classify(images, model_version=1), await client.get_model()
    assert [prediction.digit for prediction in predictions] == [3, 4, 4, 6]
    assert predictions[0].probability == max(predictions[0].probabilities)
    assert predictions[0].refusal is None
    assert (model.name, model.version, model.max_images_per_request) == ("mnist", 1, 100)
    assert await asyncio.to_thread(ask) == (predictions, model)


async def test_one_image_gives_a_list_of_one_and_a_stack_one_for_each_from_both_clients(
    server: Standalone, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{server.grpc_port}"
    file = tmp_path / "six.bin"
    file.write_bytes(image_of(6))
    stack = np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in (6, 2, 3)]).reshape(3, 28, 28)
    forms: list[tuple[SingleImage | list[ImageLike], list[int]]] = [
        (str(file), [6]),
        (file, [6]),
        (image_of(6), [6]),
        (stack[0], [6]),
        (stack[0].tolist(), [6]),
        (stack, [6, 2, 3]),
    ]

    def blocking() -> list[list[int]]:
        with DigitClient(address) as client:
            calls = [call for images, _ in forms for call in (client.classify(images), client.classify_many(images))]
            return [[prediction.digit for prediction in predictions] for predictions in calls]

    answers = []
    async with AsyncDigitClient(address) as client:
        for images, _ in forms:
            answers.append([prediction.digit for prediction in await client.classify(images)])
            answers.append([prediction.digit async for prediction in client.classify_many(images)])
    assert answers == [digits for _, digits in forms for _ in range(2)]
    assert await asyncio.to_thread(blocking) == answers


async def test_an_error_tells_code_and_message(server: Standalone) -> None:
    async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
        with pytest.raises(CallError, match="the request holds no image") as raised:
            await client.classify([])
        assert raised.value.code == "INVALID_ARGUMENT"


async def test_an_array_of_another_shape_or_type_is_refused_before_it_is_sent() -> None:
    async with AsyncDigitClient("127.0.0.1:1") as client:
        for array in (np.zeros(783, np.uint8), np.zeros(784, np.float32)):
            with pytest.raises(ValueError, match=r"expected pixels of (shape|uint8).* got"):
                await client.classify([array])  # type: ignore[list-item]  # a mistake, on purpose


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_busy_server_is_asked_again(code: grpc.StatusCode) -> None:
    servicer, served = busy(code, refusals=2)
    with served as address, DigitClient(address) as client:
        assert client.classify([image_of(1)])[0].digit == 8
    assert servicer.calls == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
def test_what_a_retry_cannot_mend_is_asked_once(code: grpc.StatusCode) -> None:
    servicer, served = busy(code, refusals=1)
    with served as address, DigitClient(address) as client, pytest.raises(CallError, match=f"{code.name}: busy"):
        client.classify([image_of(1)])
    assert servicer.calls == 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with DigitClient("127.0.0.1:1") as client, pytest.raises(CallError, match="UNAVAILABLE"):
        client.classify([image_of(1)])


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A TLS server's address and the file of the authority that vouches for it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    with Served(BusyServicer(grpc.StatusCode.UNAVAILABLE, 0), credentials) as address:
        yield address, ca_file


def test_tls_works_with_the_right_authority_and_fails_without(tls_server: tuple[str, Path]) -> None:
    address, ca_file = tls_server
    trusting = grpc.ssl_channel_credentials(ca_file.read_bytes())
    with DigitClient(address, credentials=trusting) as client:
        assert client.classify([image_of(1)])[0].digit == 8
    with (
        DigitClient(address, credentials=grpc.ssl_channel_credentials()) as client,
        pytest.raises(CallError, match="UNAVAILABLE"),
    ):
        client.classify([image_of(1)])


def test_the_command_line_speaks_tls(tls_server: tuple[str, Path], tmp_path: Path) -> None:
    address, ca_file = tls_server
    image = tmp_path / "one.bin"
    image.write_bytes(image_of(1))
    assert client_cli.main(["classify", "--address", address, "--tls-ca-file", str(ca_file), str(image)]) == 0


@pytest.mark.parametrize("address", ["http://localhost:50051", "localhost"])
def test_the_command_refuses_an_address_without_host_and_port_before_it_connects(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "one.bin"
    image.write_bytes(image_of(1))
    assert client_cli.main(["classify", "--address", address, str(image)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: expected the address HOST:PORT as in 127.0.0.1:50051 or [::1]:50051")
    assert captured.err.endswith("localhost:50051\n")
    assert captured.out == ""


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_a_proxy_that_the_environment_names_is_not_used_for_loopback(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")  # a proxy that does not answer
    with Served(BusyServicer(grpc.StatusCode.UNAVAILABLE, 0)) as address:
        async with AsyncDigitClient(address) as client:
            assert (await client.classify([image_of(1)]))[0].digit == 8

        def blocking() -> int:
            with DigitClient(address.replace("localhost", "127.0.0.1")) as client:
                return client.classify([image_of(1)])[0].digit

        assert await asyncio.to_thread(blocking) == 8


def test_a_proxy_that_the_environment_names_is_used_for_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with DigitClient("digits.example:50051") as client, ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.classify, [image_of(1)])
            proxy.settimeout(10)
            connection, _ = proxy.accept()
            with connection:
                assert connection.recv(100).startswith(b"CONNECT digits.example:50051 ")
            client.close()
            assert isinstance(call.exception(10), CallError)
