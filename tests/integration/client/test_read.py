"""Both clients and the command read a picture as the RPC does."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from mnist_digits import AsyncDigitClient, CallError, DigitClient, Reading
from mnist_digits.command import cli
from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.process.standalone import Standalone
from tests.support.pictures import file_of, ink_of, picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer

LINE = picture_of("2048")
BLANK = file_of(Image.new("L", (60, 40), 255))


@pytest.fixture
async def trained(start_server: StartServer) -> AsyncIterator[Standalone]:
    async with start_server(model_repository=ROOT / "models") as server:
        yield server


async def readings(server: Standalone, picture: Any, **options: Any) -> list[Reading]:
    """The readings of the blocking and of the asynchronous client."""
    address = f"127.0.0.1:{server.grpc_port}"

    def read() -> Reading:
        with DigitClient(address) as client:
            return client.read(picture, **options)

    async with AsyncDigitClient(address) as client:
        return [await asyncio.to_thread(read), await client.read(picture, **options)]


async def test_both_clients_give_every_value_of_the_response(trained: Standalone) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{trained.grpc_port}") as channel:
        request = digits_pb2.ReadRequest(picture=LINE, layout=digits_pb2.LAYOUT_LINE)
        response: digits_pb2.ReadResponse = await digits_pb2_grpc.DigitClassifierStub(channel).Read(request)
    for reading in await readings(trained, LINE, layout="line"):
        assert (reading.text, reading.model_version) == ("2048", response.model_version)
        assert (reading.width, reading.height) == (response.width, response.height)
        [line], [message] = reading.lines, response.lines
        assert (line.text, line.probability, line.refused) == (message.text, message.probability, message.refused)
        for digit, glyph in zip(line.digits, message.digits, strict=True):
            assert (digit.digit, digit.probability, digit.refused) == (glyph.digit, glyph.probability, glyph.refused)
            assert (digit.probabilities, digit.novelty) == (tuple(glyph.probabilities), glyph.novelty)
            assert digit.box == (glyph.box.x, glyph.box.y, glyph.box.width, glyph.box.height)


async def test_every_form_of_a_picture_is_read_alike(trained: Standalone, tmp_path: Path) -> None:
    (tmp_path / "line.png").write_bytes(LINE)
    grey = 255 - ink_of(["2048"])
    for picture in (tmp_path / "line.png", LINE, Image.open(io.BytesIO(LINE)), grey, np.dstack([grey] * 3), 255 - grey):
        for reading in await readings(trained, picture):
            assert reading.text == "2048"


async def test_errors_are_those_of_the_rpc(trained: Standalone) -> None:
    async with AsyncDigitClient(f"127.0.0.1:{trained.grpc_port}") as client:
        with pytest.raises(CallError, match="INVALID_ARGUMENT"):
            await client.read(b"no picture")
        with pytest.raises(CallError, match="NOT_FOUND"):
            await client.read(LINE, model_version=99)
        with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
            await client.read(LINE, timeout_seconds=0.0001)
    with pytest.raises(CallError, match="CANCELLED"):
        await client.read(LINE)


async def command(server: Standalone, *arguments: object) -> int:
    words = ["read", "--address", f"127.0.0.1:{server.grpc_port}", *map(str, arguments)]
    return await asyncio.to_thread(cli.main, words)


async def test_the_command_prints_a_row_for_each_line(
    trained: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(LINE)
    Path("b.png").write_bytes(BLANK)
    assert await command(trained, "a.png", "b.png") == 0
    head, line, blank = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "line", "digits", "probability"]
    assert line.split()[:3] == ["a.png", "1", "2048"]
    assert blank.split()[:3] == ["b.png", "no", "digits,"]


async def test_the_command_prints_one_json_object_for_each_file(
    trained: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(LINE)
    (tmp_path / "b.png").write_bytes(b"damaged")
    (tmp_path / "c.bin").write_bytes((ROOT / "samples" / "raw-28x28-2.bin").read_bytes())
    assert await command(trained, "--json", "--layout", "line", tmp_path) == 1
    good, bad, raw = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(good) == ["file", "lines", "model_version", "quality", "width", "height"]
    [line] = good["lines"]
    assert (line["text"], line["refused"]) == ("2048", False)
    assert list(line["digits"][0]) == ["digit", "probability", "novelty", "refused", "box"]
    assert "not an image" in bad["error"]
    assert raw["lines"][0]["text"] == "2"


async def test_the_command_reads_standard_input_and_its_layout_has_a_variable(
    trained: Standalone, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE)))
    monkeypatch.setenv("MNIST_CLIENT_LAYOUT", "line")
    assert await command(trained, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["lines"][0]["text"] == "2048"
    monkeypatch.setenv("MNIST_CLIENT_LAYOUT", "word")
    assert await command(trained, "-") == 2
    assert "MNIST_CLIENT_LAYOUT: expected one of auto, digit, line, page, got 'word'" in capsys.readouterr().err


def test_another_layout_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["read", "--layout", "word", "a.png"])
    assert ended.value.code == 2
    assert "--layout" in capsys.readouterr().err


async def test_without_a_server_every_file_has_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(LINE)
    words = ["read", "--address", "127.0.0.1:1", "--timeout-seconds", "0.1", "--json", str(tmp_path)]
    assert await asyncio.to_thread(cli.main, words) == 1
    assert json.loads(capsys.readouterr().out)["error"]
