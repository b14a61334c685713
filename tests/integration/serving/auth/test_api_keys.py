"""API keys: who is let in, to what, and how often; keys that come and go while the server runs."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mnist_digits import AsyncDigitClient, CallError, DigitClient
from mnist_digits.command import cli
from protos.inference import open_inference_pb2 as protocol
from protos.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.auth import authenticator
from serving.commands.keys import keys
from serving.errors import ConfigError
from serving.logging import configure_logging
from serving.options import run_command
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

ONE_IMAGE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(4))])
LOAD = protocol.RepositoryModelLoadRequest(model_name="mnist")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def make_key(file: Path, capsys: pytest.CaptureFixture[str]) -> "MakeKey":
    return MakeKey(file, capsys)


class MakeKey:
    """Makes keys as people do: by the command."""

    def __init__(self, file: Path, output: pytest.CaptureFixture[str]) -> None:
        self._file = file
        self._output = output

    def __call__(self, name: str, *more: str) -> str:
        self._output.readouterr()
        assert run_command(keys, ["new", name, "--file", str(self._file), *more]) == 0
        return self._output.readouterr().out.strip()


@asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened


async def classify(port: int, *metadata: tuple[str, str]) -> str:
    """OK, or the status and what it says."""
    async with channel(port) as opened:
        try:
            answer = await DigitClassifierStub(opened).Classify(ONE_IMAGE, metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    assert answer.predictions[0].digit == 4
    return "OK"


async def test_only_calls_with_a_known_key_are_answered(
    start_server: StartServer, file: Path, make_key: MakeKey
) -> None:
    secret = make_key("forms")
    async with start_server(api_keys=file) as server:
        port = server.grpc_port
        assert await classify(port, ("authorization", f"Bearer {secret}")) == "OK"
        assert await classify(port, ("authorization", f"bearer {secret}")) == "OK"
        assert await classify(port, ("x-api-key", secret)) == "OK"
        assert (await classify(port)).startswith("UNAUTHENTICATED: an API key is needed")
        for wrong in ("", "x", secret[:-1], secret + "a", secret.upper(), "é"):
            assert (await classify(port, ("authorization", "Basic " + secret))).startswith("UNAUTHENTICATED")
            if wrong.isascii():
                assert (await classify(port, ("x-api-key", wrong))).startswith("UNAUTHENTICATED")


def test_the_file_holds_no_key_only_its_hash_and_others_cannot_read_it(file: Path, make_key: MakeKey) -> None:
    secret = make_key("forms")
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o007 == 0


async def test_a_key_that_is_taken_from_the_file_is_good_no_more(
    start_server: StartServer, file: Path, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "REREAD_SECONDS", 0.0)
    first = make_key("first")
    with_one = file.read_text()
    second = make_key("second")
    async with start_server(api_keys=file) as server:
        assert await classify(server.grpc_port, ("x-api-key", second)) == "OK"
        file.write_text(with_one)
        assert (await classify(server.grpc_port, ("x-api-key", second))).startswith("UNAUTHENTICATED")
        assert await classify(server.grpc_port, ("x-api-key", first)) == "OK"
        third = make_key("third")
        assert await classify(server.grpc_port, ("x-api-key", third)) == "OK"
        file.write_text("")
        assert (await classify(server.grpc_port, ("x-api-key", first))).startswith("UNAUTHENTICATED")
        file.write_text(with_one)
        assert await classify(server.grpc_port, ("x-api-key", first)) == "OK"
        file.write_text("half a [")
        assert await classify(server.grpc_port, ("x-api-key", first)) == "OK"  # a slip of the pen locks nobody out


async def test_stream_is_refused_further_requests_once_its_key_is_gone(
    start_server: StartServer, file: Path, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "REREAD_SECONDS", 0.0)
    secret = make_key("forms")
    async with start_server(api_keys=file) as server, channel(server.grpc_port) as opened:
        stream = DigitClassifierStub(opened).ClassifyStream(metadata=[("x-api-key", secret)], timeout=30)
        await stream.write(digits_pb2.ClassifyStreamRequest(id=1, request=ONE_IMAGE))
        assert (await stream.read()).response.predictions[0].digit == 4
        file.write_text("")
        await stream.write(digits_pb2.ClassifyStreamRequest(id=2, request=ONE_IMAGE))
        answer = await stream.read()
        assert (answer.id, answer.failure.code) == (2, grpc.StatusCode.UNAUTHENTICATED.value[0])


async def test_what_changes_the_server_needs_the_scope_admin(
    start_server: StartServer, file: Path, make_key: MakeKey
) -> None:
    reader, admin = make_key("reader"), make_key("boss", "--scopes", "admin")
    async with start_server(api_keys=file) as server, channel(server.grpc_port) as opened:
        stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(opened)
        await stub.RepositoryModelLoad(LOAD, metadata=[("x-api-key", admin)])
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.RepositoryModelLoad(LOAD, metadata=[("x-api-key", reader)])
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "key reader has not the scope admin" in (raised.value.details() or "")
        assert (await classify(server.grpc_port, ("x-api-key", admin))).startswith(
            "PERMISSION_DENIED: key boss has not"
        )


async def test_without_keys_the_admin_rpc_is_answered_on_loopback_alone(start_server: StartServer) -> None:
    async with start_server(host="0.0.0.0", insecure=True) as server, channel(server.grpc_port) as opened:
        stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(opened)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.RepositoryModelLoad(LOAD)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await classify(server.grpc_port) == "OK"


async def test_key_beyond_its_rate_is_refused_with_a_time_to_retry(
    start_server: StartServer, file: Path, make_key: MakeKey
) -> None:
    slow, fast = make_key("slow", "--images-per-second", "0.001"), make_key("fast")
    async with start_server(api_keys=file) as server, channel(server.grpc_port) as opened:
        assert await classify(server.grpc_port, ("x-api-key", slow)) == "OK"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await DigitClassifierStub(opened).Classify(ONE_IMAGE, metadata=[("x-api-key", slow)])
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "key slow may ask for 0.001 images a second" in (raised.value.details() or "")
        pushback = dict(raised.value.trailing_metadata())["grpc-retry-pushback-ms"]
        assert 400_000 < int(pushback) < 1_600_000
        assert await classify(server.grpc_port, ("x-api-key", fast)) == "OK"


async def test_call_of_more_images_than_the_burst_is_refused_and_locks_nobody_out(
    start_server: StartServer, file: Path, make_key: MakeKey
) -> None:
    secret = make_key("slow", "--images-per-second", "1")
    async with start_server(api_keys=file) as server:
        async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}", api_key=secret) as client:
            with pytest.raises(CallError, match=r"INVALID_ARGUMENT: key slow .* at most 1 image at once.* holds 1024"):
                await client.classify([image_of(3)] * 1024)
        assert await classify(server.grpc_port, ("x-api-key", secret)) == "OK"


async def test_our_clients_show_the_key_that_they_are_given(
    start_server: StartServer, file: Path, make_key: MakeKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = make_key("forms")
    async with start_server(api_keys=file) as server:
        address = f"127.0.0.1:{server.grpc_port}"
        async with AsyncDigitClient(address, api_key=secret) as client:
            assert [each.digit for each in await client.classify([image_of(2)])] == [2]
            assert (await client.get_model()).name == "mnist"
        async with AsyncDigitClient(address) as client:
            with pytest.raises(CallError, match="an API key is needed"):
                await client.classify([image_of(2)])

        def blocking() -> None:
            with DigitClient(address, api_key=secret) as client:
                assert [each.digit for each in client.classify([image_of(3)])] == [3]
                assert [each.digit for each in client.classify_many([image_of(4)])] == [4]
                assert client.get_model().name == "mnist"
            picture, key = tmp_path / "a.bin", tmp_path / "key"
            picture.write_bytes(image_of(5))
            key.write_text(secret + "\n")
            classify = ["classify", str(picture), "--address", address]
            assert cli.main([*classify, "--api-key-file", str(key)]) == 0
            assert cli.main(classify) == 1
            key.write_text("two words é")
            assert cli.main([*classify, "--api-key-file", str(key)]) == 2
            assert f"{key}: an API key is one line" in capsys.readouterr().err

        await asyncio.to_thread(blocking)


async def test_health_needs_no_key(start_server: StartServer, file: Path, make_key: MakeKey) -> None:
    make_key("forms")
    async with start_server(api_keys=file) as server, channel(server.grpc_port) as opened:
        health: Any = health_pb2_grpc.HealthStub(opened)  # the stubs describe no attributes
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("other = 1", "expected"),
        ("[keys.a]\nsha256 = 'abc'", "key a: sha256 is not 64"),
        (
            "[keys.a]\nsha256 = '" + "0" * 64 + "'\nscopes = ['root']",
            "key a: scopes are one or more of admin",
        ),
        ("[keys.a]\nsha256 = '" + "0" * 64 + "'\nimages_per_second = -1", "key a: images_per_second"),
        ("[keys.a]\nsha256 = '" + "0" * 64 + "'\n[keys.b]\nsha256 = '" + "0" * 64 + "'", "two names have the same key"),
        ("[keys.'a b']\nsha256 = '" + "0" * 64 + "'", "a name is 1 to 64 letters"),
        ("[keys.a]\nsha256 = '" + "0" * 64 + "'\nscope = 1", "key a: expected"),
    ],
)
async def test_a_file_that_cannot_be_used_keeps_the_server_from_starting(
    content: str, message: str, start_server: StartServer, file: Path
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        async with start_server(api_keys=file):
            pass


def test_a_name_is_used_once(file: Path, make_key: MakeKey, capsys: pytest.CaptureFixture[str]) -> None:
    make_key("forms")
    assert run_command(keys, ["new", "forms", "--file", str(file)]) == 2
    assert "has a key of the name forms" in capsys.readouterr().err


def test_a_file_that_only_its_owner_may_read_stays_so(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    assert run_command(keys, ["new", "forms", "--file", str(file)]) == 0
    file.chmod(0o600)
    assert run_command(keys, ["new", "letters", "--file", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_key_that_cannot_be_made_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(keys, ["new", "no name", "--file", str(tmp_path / "keys.toml")]) == 2
    assert "no name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "scopes"),
    [
        (["--scopes", "admin", "classify", "--file", "FILE", "forms"], {"admin", "classify"}),
        (["forms", "--file", "FILE", "--scopes", "classify", "admin"], {"admin", "classify"}),
        (["forms", "--file", "FILE", "--scopes", "admin"], {"admin"}),
        (["forms", "--file", "FILE", "--scopes", "admin", "--scopes", "classify"], {"admin", "classify"}),
        (["forms", "--file", "FILE"], {"classify"}),
    ],
)
def test_a_key_has_the_scopes_behind_the_flag(arguments: list[str], scopes: set[str], file: Path) -> None:
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    assert run_command(keys, ["new", *given]) == 0
    [table] = tomllib.loads(file.read_text())["keys"].values()
    assert set(table["scopes"]) == scopes


@pytest.mark.parametrize("arguments", [["forms", "admin"], ["forms", "--scopes", "root"], ["forms", "--scopes"]])
def test_a_scope_without_its_flag_makes_no_key(arguments: list[str], file: Path) -> None:
    assert run_command(keys, ["new", "--file", str(file), *arguments]) == 2
    assert not file.exists()


async def test_calls_are_counted_and_logged_by_the_name_of_their_key(
    start_server: StartServer, file: Path, make_key: MakeKey, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = make_key("forms")
    make_key("idle")
    configure_logging("json", "info")
    async with (
        start_server(api_keys=file, access_log=True, log_format="json") as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session,
    ):
        assert await classify(server.grpc_port, ("x-api-key", secret)) == "OK"
        assert (await classify(server.grpc_port, ("x-api-key", "wrong"))).startswith("UNAUTHENTICATED")
        for key in (secret, "wrong"):
            async with session.post("/v1/classify", data=image_of(4), headers={"x-api-key": key}) as response:
                await response.read()
        async with session.get("/metrics") as response:
            counted = [line for line in (await response.text()).splitlines() if line.startswith("mnist_key_calls")]
    assert counted == ['mnist_key_calls_total{code="OK",key="forms"} 2.0']
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    calls = [(each["code"], each.get("key")) for each in events if each["event"] == "rpc"]
    assert sorted(calls, key=str) == [("OK", "forms")] * 2 + [("UNAUTHENTICATED", None)] * 2
