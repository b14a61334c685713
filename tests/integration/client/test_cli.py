"""`mnist-digits classify` against a real server."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_digits.command import cli
from mnist_digits.command.classify_files import BATCH_IMAGES
from serving.process.standalone import Standalone
from tests.support import pictures
from tests.support.held_service import served
from tests.support.processes import completed, started_on_loop, without_settings
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of


async def run(server: Standalone, *arguments: object) -> int:
    command = ["classify", "--address", f"127.0.0.1:{server.grpc_port}", *map(str, arguments)]
    return await asyncio.to_thread(cli.main, command)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images, one each digit, in two folders, beside a file that is no image."""
    (tmp_path / "late").mkdir()
    for digit in range(10):
        (tmp_path / ("late" if digit > 6 else "") / f"{digit}.bin").write_bytes(image_of(digit))
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


async def test_a_folder_is_answered_in_sorted_order_one_json_object_a_line(
    server: Standalone, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(server, "--json", folder) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["digit"] for line in lines] == list(range(10))
    assert [Path(line["file"]).name for line in lines] == [f"{digit}.bin" for digit in range(10)]
    assert all({"file", "digit", "probability", "novelty", "refused"} <= set(line) for line in lines)


async def test_people_get_a_table(
    server: Standalone, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert await run(server, "3.bin") == 0
    table = capsys.readouterr().out
    assert "probability" in table
    assert "3.bin" in table
    assert "0.999" in table


async def test_remarks_on_a_picture_are_in_the_table_and_in_json(
    server: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stroke = np.full((40, 30), 230, np.uint8)
    stroke[:30, 13:17] = 20  # begins at the border
    Image.fromarray(stroke).save("1.png")
    assert await run(server, "--json", "1.png") == 0
    assert json.loads(capsys.readouterr().out)["quality"] == ["touches_border"]
    assert await run(server, "1.png") == 0
    assert "touches" in capsys.readouterr().out


async def test_a_refusal_is_in_the_table_in_words_and_once(
    start_server: StartServer,
    trusting_repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1.png").write_bytes(pictures.picture_of("31"))
    async with start_server(model_repository=trusting_repository) as server:
        capsys.readouterr()  # the server's log
        assert await run(server, "--json", "1.png") == 0
        line = json.loads(capsys.readouterr().out)
        assert (line["refused"], line["refusal"], line["quality"]) == (True, "several_glyphs", ["several_glyphs"])
        assert await run(server, "1.png") == 0
        row = capsys.readouterr().out.splitlines()[-1]
    assert row.endswith("refused: several glyphs")
    assert row.count("several glyphs") == 1


async def test_more_files_than_a_batch_are_all_answered(
    server: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2 * BATCH_IMAGES + 1):
        (tmp_path / f"{number:04}.raw").write_bytes(image_of(number % 10))
    assert await run(server, "--json", tmp_path) == 0
    digits = [json.loads(line)["digit"] for line in capsys.readouterr().out.splitlines()]
    assert digits == [number % 10 for number in range(2 * BATCH_IMAGES + 1)]


async def test_one_bad_file_is_told_and_the_others_are_answered(
    server: Standalone, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "4.bin").write_bytes(b"[red]damaged[/red]")
    assert await run(server, "--json", folder) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("digit") for line in lines] == [0, 1, 2, 3, None, 5, 6, 7, 8, 9]
    assert "not an image" in lines[4]["error"]
    assert await run(server, folder) == 1
    assert f"{folder / '4.bin'}: INVALID_ARGUMENT: image 0: not an image" in capsys.readouterr().err


async def test_standard_input_is_one_image(
    server: Standalone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image_of(7))))
    assert await run(server, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["digit"] == 7


async def test_without_a_server_every_file_has_its_error_and_the_status_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["classify", "--address", "127.0.0.1:1", "--json", str(folder / "1.bin")]
    assert await asyncio.to_thread(cli.main, arguments) == 1
    assert "UNAVAILABLE" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(("name", "message"), [("missing.png", "no such file or folder"), ("empty", "no image files")])
def test_nothing_to_classify_is_a_usage_error(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["classify", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


async def test_variables_are_defaults_an_empty_one_is_none_and_flags_win(
    server: Standalone, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_CLIENT_ADDRESS", f"127.0.0.1:{server.grpc_port}")
    monkeypatch.setenv("MNIST_CLIENT_JSON", "yes")
    monkeypatch.setenv("MNIST_CLIENT_TLS", "off")
    monkeypatch.setenv("MNIST_CLIENT_API_KEY_FILE", "")
    assert await asyncio.to_thread(cli.main, ["classify", str(folder / "3.bin")]) == 0
    assert json.loads(capsys.readouterr().out)["digit"] == 3
    monkeypatch.setenv("MNIST_CLIENT_ADDRESS", "127.0.0.1:1")
    assert await run(server, folder / "5.bin") == 0
    assert json.loads(capsys.readouterr().out)["digit"] == 5


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "MNIST_CLIENT_ADRESS",
            "x",
            "error: MNIST_CLIENT_ADRESS: there is no such setting, only MNIST_CLIENT_ADDRESS, ",
        ),
        ("MNIST_CLIENT_JSON", "maybe", "error: MNIST_CLIENT_JSON: expected true or false, got 'maybe'"),
        ("MNIST_CLIENT_TIMEOUT_SECONDS", "soon", "error: MNIST_CLIENT_TIMEOUT_SECONDS: could not convert"),
        ("MNIST_CLIENT_API_KEY_FILE", "no-such-file", "No such file or directory: 'no-such-file'"),
    ],
)
def test_a_variable_that_cannot_be_used_is_a_usage_error(
    variable: str, text: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    assert cli.main(["classify", "samples"]) == 2
    assert message in capsys.readouterr().err


def test_help_names_every_flag_with_its_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["classify", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 127.0.0.1:50051; MNIST_CLIENT_ADDRESS)" in shown
    assert "(MNIST_CLIENT_TLS)" in shown


async def test_what_could_steer_the_terminal_is_shown_escaped(
    server: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "\x1b[31mred.bin").write_bytes(image_of(2))
    assert await run(server, tmp_path) == 0
    assert "\\x1b[31mred.bin" in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
async def test_ctrl_c_ends_it_with_130_and_no_traceback(form: list[str], tmp_path: Path) -> None:
    (tmp_path / "1.bin").write_bytes(image_of(1))
    async with served() as service:
        command = (sys.executable, "-m", "mnist_digits", "classify", "--address", service.address, *form, str(tmp_path))
        async with started_on_loop(command, stderr=asyncio.subprocess.PIPE) as process:
            await service.next_rpc()
            process.send_signal(signal.SIGINT)
            _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (130, b"")


NOT_UTF_8 = os.fsdecode(b"caf\xe9.bin")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("name", [NOT_UTF_8, "ünï.bin", "三.bin", "\x1b[31m\udcff三é.bin"])
def test_a_file_of_any_name_is_in_the_table_and_in_json_in_any_encoding(
    name: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(image_of(1))
    environment = without_settings() | {"PYTHONIOENCODING": encoding}
    command = (sys.executable, "-m", "mnist_digits", "classify", "--address", "127.0.0.1:1", "--timeout-seconds", "0.1")
    for form in ([], ["--json"]):
        process = completed((*command, *form, str(tmp_path)), env=environment, encoding=encoding)
        assert process.returncode == 1
        assert "Traceback" not in process.stderr
        assert len(process.stdout.splitlines()) == (1 if form else 2)
    assert json.loads(process.stdout)["file"] == str(tmp_path / name)


@pytest.mark.parametrize(
    "words",
    [("--help",), ("classify", "--help"), ("classify",), ("classify", "--json")],
    ids=lambda words: " ".join(words),
)
@pytest.mark.parametrize("errors_too", [False, True])
def test_a_reader_that_leaves_ends_it_quietly(words: tuple[str, ...], errors_too: bool, tmp_path: Path) -> None:
    (tmp_path / "1.bin").write_bytes(image_of(1))
    (tmp_path / "notes.txt").write_text("not an image")
    if "--help" not in words:
        words = (*words, "--address", "127.0.0.1:1", "--timeout-seconds", "0.1", str(tmp_path))
    environment = without_settings() | {"PYTHONUNBUFFERED": ""}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        options: dict[str, Any] = {"stdout": writer, "stderr": writer if errors_too else subprocess.PIPE}
        process = completed((sys.executable, "-m", "mnist_digits", *words), env=environment, **options)
    finally:
        os.close(writer)
    assert process.returncode == 1
    assert "Error" not in (process.stderr or "")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def picture_of(form: str) -> bytes:
    file = io.BytesIO()
    pixels = np.full((60, 60), 230, np.uint8)
    pixels[15:45, 28:32] = 20
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


async def test_of_a_folder_pictures_are_read_by_what_they_are_and_the_rest_is_counted(
    server: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = {
        "a.JPG": "JPEG",
        "b.jfif": "JPEG",
        "c": "PNG",
        "d.png": "BMP",
        "e.gif": "WEBP",
        "f.scan": "TIFF",
        "g.heic": "JPEG",
    }
    for name, form in pictures.items():
        (tmp_path / name).write_bytes(picture_of(form))
    others = {
        "h.heic": HEIC,
        "i.HEIC": HEIC,
        "j.gif": picture_of("GIF"),
        "k.txt": b"BM is no picture",
        "l": b"",
        "m": b"x",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    assert await run(server, "--json", tmp_path) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == list(pictures)
    assert all("digit" in line for line in lines)
    assert captured.err == (
        "6 files skipped: 2 .heic, 2 without a suffix, 1 .gif, 1 .txt; mnist-digits reads PNG, JPEG, BMP, WebP and TIFF"
        " by any name, and 784 pixels as .bin or .raw, but not HEIC, AVIF or GIF\n"
    )


async def test_a_folder_of_other_files_alone_is_a_usage_error_that_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.heic").write_bytes(HEIC)
    assert cli.main(["classify", str(tmp_path)]) == 2
    skipped, error = capsys.readouterr().err.splitlines()
    assert skipped.startswith("1 file skipped: 1 .heic; mnist-digits reads PNG, JPEG,")
    assert error == "error: no image files there"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.heic", HEIC, "HEIC is not supported: convert it to PNG or JPEG"),
        ("b.jpg", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF is not supported: convert it to PNG or JPEG"),
        ("c.gif", picture_of("GIF"), "GIF is not supported: convert it to PNG or JPEG"),
        ("d.txt", b"some words", "not an image this service reads"),
    ],
)
async def test_a_named_file_is_sent_whatever_it_is_and_its_format_is_named(
    name: str, content: bytes, message: str, server: Standalone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.png").write_bytes(picture_of("PNG"))
    assert await run(server, "--json", tmp_path / name, tmp_path / "z.png") == 1
    captured = capsys.readouterr()
    bad, good = map(json.loads, captured.out.splitlines())
    assert bad["error"].startswith("INVALID_ARGUMENT: ")
    assert message in bad["error"]
    assert "digit" in good
    assert captured.err == ""
