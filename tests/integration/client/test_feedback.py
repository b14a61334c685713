"""Feedback by the clients and the command: on predictions of calls of one's own and of calls that shared an RPC."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mnist_digits import AsyncDigitClient, CallError, DigitClient, Prediction
from mnist_digits.command import cli
from serving.process.standalone import Standalone
from tests.support.pictures import picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def address(start_server: StartServer, store: Path) -> AsyncIterator[str]:
    async with start_server(store=store) as server:
        yield f"127.0.0.1:{server.grpc_port}"


def kept(store: Path) -> list[tuple[int, int]]:
    """Digit and truth of all pictures."""
    with closing(sqlite3.connect(store)) as connection:
        return sorted(connection.execute("SELECT digit, truth FROM pictures").fetchall())


async def test_calls_that_shared_an_rpc_give_feedback_on_their_own_images(address: str, store: Path) -> None:
    async with AsyncDigitClient(address) as client:
        assert (await client.get_model()).takes_feedback
        calls = await asyncio.gather(*(client.classify([image_of(digit)]) for digit in range(10)))
        await asyncio.gather(*(client.feedback(call[0], (call[0].digit + 1) % 10) for call in calls))
        await client.feedback(calls[0][0], None)
        await client.feedback(calls[1][0].request_id, 5, index=calls[1][0].index)
    assert kept(store) == [(0, -1), (1, 5), *((digit, (digit + 1) % 10) for digit in range(2, 10))]


async def test_the_blocking_client_and_its_command_do_the_same(
    address: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with DigitClient(address) as client:
            (prediction,) = client.classify(image_of(3))
            client.feedback(prediction, 8)
            with pytest.raises(CallError) as raised:
                client.feedback("another", 8)
            assert raised.value.code == "NOT_FOUND"
        (tmp_path / "four.raw").write_bytes(image_of(4))
        capsys.readouterr()
        assert cli.main(["classify", "--json", "--address", address, str(tmp_path / "four.raw")]) == 0
        line: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert cli.main(["feedback", "--address", address, line["request_id"], "9"]) == 0
        assert cli.main(["feedback", "--address", address, line["request_id"], "9", "--index", "1"]) == 1
        assert "NOT_FOUND" in capsys.readouterr().err
        assert cli.main(["feedback", "--address", address, "nobody's", "none"]) == 1

    await asyncio.to_thread(work)
    assert kept(store) == [(3, 8), (4, 9)]


async def test_prediction_of_an_explanation_takes_feedback(start_server: StartServer, store: Path) -> None:
    async with (
        start_server(model_repository=ROOT / "models", store=store) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        explained = await client.explain(ROOT / "samples/photo-8.jpg")
        await client.feedback(explained.prediction, 8)
    assert kept(store) == [(explained.prediction.digit, 8)]


async def test_digits_and_lines_that_were_read_take_feedback(start_server: StartServer, store: Path) -> None:
    async with (
        start_server(model_repository=ROOT / "models", store=store) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        reading = await client.read(picture_of("314", "27"), layout="page")
        first, second = reading.lines
        await client.feedback(first, "374")
        await client.feedback(second.digits[1], 9)
        await client.feedback(second.digits[0], None)
        with pytest.raises(CallError, match="as many digits") as raised:
            await client.feedback(second, "2")
        assert raised.value.code == "INVALID_ARGUMENT"
    assert kept(store) == [(1, 7), (2, -1), (3, 3), (4, 4), (7, 9)]


async def test_the_blocking_client_and_its_command_give_feedback_on_what_was_read(
    start_server: StartServer, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "page.png"
    picture.write_bytes(picture_of("314", "27"))

    def work(address: str) -> None:
        with DigitClient(address) as client:
            client.feedback(client.read(picture).lines[1], "28")
        capsys.readouterr()
        assert cli.main(["read", "--json", "--address", address, str(picture)]) == 0
        read: dict[str, Any] = json.loads(capsys.readouterr().out)
        first, second = read["lines"]
        assert (first["index"], second["index"]) == (0, 1)
        assert [digit["index"] for line in read["lines"] for digit in line["digits"]] == [0, 1, 2, 3, 4]
        assert "request_id" not in first | first["digits"][0]
        give = ["feedback", "--address", address, read["request_id"]]
        assert cli.main([*give, "374", "--line", "0"]) == 0
        assert cli.main([*give, "none", "--index", "3"]) == 0
        assert cli.main([*give, "37", "--line", "0"]) == 1
        assert "as many digits" in capsys.readouterr().err
        for wrong in (["374"], ["none", "--line", "0"], ["3x", "--line", "0"], ["٣"], ["10"], [""]):
            assert cli.main([*give, *wrong]) == 2
            assert "error: " in capsys.readouterr().err

    async with start_server(model_repository=ROOT / "models", store=store) as server:
        await asyncio.to_thread(work, f"127.0.0.1:{server.grpc_port}")
    assert kept(store) == [(1, 7), (2, -1), (2, 2), (3, 3), (4, 4), (7, 8)]


async def test_without_feedback_a_prediction_says_so(server: Standalone) -> None:
    async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
        (prediction,) = await client.classify(image_of(3))
        assert (prediction.request_id, prediction.index) == ("", 0)
        assert not (await client.get_model()).takes_feedback
        with pytest.raises(ValueError, match="takes no feedback"):
            await client.feedback(prediction, 3)
        with pytest.raises(CallError) as raised:
            await client.feedback("some", 3)
        assert raised.value.code == "UNIMPLEMENTED"


@pytest.mark.parametrize("digit", [-1, 10, True])
async def test_what_is_no_digit_is_not_sent(address: str, digit: int) -> None:
    async with AsyncDigitClient(address) as client:
        with pytest.raises(ValueError, match="0 to 9"):
            await client.feedback(Prediction(3, 1.0, (), 0.0, False, None, request_id="x"), digit)
