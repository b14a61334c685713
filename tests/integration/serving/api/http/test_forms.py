"""Every usual way to send pictures by HTTP is read, and what is not read is answered with the one thing to change."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.digits.http_bodies import is_pixels, read_body
from serving.errors import InvalidRequestError
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import Web, web

PICTURE = (ROOT / "samples" / "black-on-white-3.png").read_bytes()
TEXT = base64.b64encode(PICTURE).decode()
NUMBERS = list(image_of(5))
ROWS = [NUMBERS[at : at + 28] for at in range(0, 784, 28)]
SCALED = [number / 255 for number in NUMBERS]


@pytest.fixture
async def caller(start_server: StartServer) -> AsyncIterator[Web]:
    async with start_server(max_images_per_request=20) as server, web(server.http_port) as opened:
        yield opened


@pytest.mark.parametrize(
    "document",
    [
        NUMBERS,
        ROWS,
        [[[number] for number in row] for row in ROWS],
        SCALED,
        {"pixels": NUMBERS},
        {"image": ROWS},
        {"data": SCALED},
    ],
)
async def test_json_of_one_image_is_answered_with_one_prediction(caller: Web, document: Any) -> None:
    status, answer, _ = await caller.classify(json.dumps(document), {"Content-Type": "application/json"})
    assert (status, answer["digit"]) == (200, 5)


@pytest.mark.parametrize(
    "document",
    [
        [NUMBERS, SCALED],
        [ROWS, ROWS],
        {"images": [NUMBERS, ROWS]},
        {"instances": [{"image": NUMBERS}, {"pixels": SCALED}]},
    ],
)
async def test_json_of_several_images_is_answered_with_a_list(caller: Web, document: Any) -> None:
    status, answer, _ = await caller.classify(json.dumps(document))
    assert (status, [each["digit"] for each in answer["predictions"]]) == (200, [5, 5])


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(TEXT),
        json.dumps({"image": TEXT}),
        json.dumps({"image": f"data:image/png;base64,{TEXT}"}),
        f"data:image/png;base64,{TEXT}",
        " \n" + json.dumps({"image": {"b64": TEXT}}),
    ],
)
async def test_a_picture_in_base64_or_a_data_url_is_answered_as_its_file_is(caller: Web, body: str) -> None:
    wanted = await caller.classify(PICTURE)
    status, answer, _ = await caller.classify(body)
    assert (status, answer) == wanted[:2]
    status, answer, _ = await caller.classify(json.dumps([TEXT, TEXT]))
    assert (status, answer["predictions"]) == (200, [wanted[1]] * 2)


async def test_a_form_is_read_with_one_file_or_several(caller: Web) -> None:
    wanted = (await caller.classify(PICTURE))[1]
    form = aiohttp.FormData({"comment": "for you"})
    form.add_field("file", PICTURE, filename="three.png")
    status, answer, _ = await caller.classify(form)
    assert (status, answer) == (200, wanted)
    form = aiohttp.FormData()
    form.add_field("a", PICTURE, filename="three.png")
    form.add_field("b", image_of(5), filename="five.bin")
    status, answer, _ = await caller.classify(form)
    assert (status, answer["predictions"][0]) == (200, wanted)
    assert answer["predictions"][1]["digit"] == 5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b"x" * 784, "image 0: "),  # text is no pixels
        (b"[1, 2, 3]", "expected 784 numbers"),
        (b"[]", "expected 784 numbers"),
        (b'{"photo": "x"}', "put it under one of image, pixels"),
        (b'{"image": "%%%"}', "no base64"),
        (b'{"images": []}', "holds 0 images, 1 to 20 are accepted"),
        (b"[" * 4000, "begins like JSON and is none"),
        (b"[" * 100_000, "hardly anything but brackets"),
        (json.dumps({"images": [NUMBERS] * 21}).encode(), "holds 21 images, 1 to 20 are accepted"),
        (json.dumps([NUMBERS, [*NUMBERS[:-1], 256]]).encode(), "image 1: pixels are 0 to 255"),
        (json.dumps([[*NUMBERS[:-1], None]]).encode(), "image 0: expected 784 numbers"),
    ],
)
async def test_what_is_not_read_is_refused_with_what_to_change(caller: Web, body: bytes, words: str) -> None:
    status, answer, _ = await caller.classify(body)
    assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")
    assert words in answer["message"]
    assert len(answer["message"]) < 300


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n", "holds no file"),
        (b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n\r\n" * 100 + b"--x--\r\n", "more than 36"),
        (b"no form\r\n", "the form cannot be read"),
        (b"--x\r\n" + b"A: b\r\n" * 1000 + b"\r\n--x--\r\n", "the form cannot be read"),
    ],
)
async def test_a_form_that_is_none_is_refused_with_what_to_change(caller: Web, body: bytes, words: str) -> None:
    status, answer, _ = await caller.classify(body, {"Content-Type": "multipart/form-data; boundary=x"})
    assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")
    assert words in answer["message"]


async def test_put_and_a_trailing_slash_are_read_and_other_methods_named(start_server: StartServer) -> None:
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        async with session.put("/v1/classify/", data=image_of(2)) as response:
            assert (await response.json())["digit"] == 2
        async with session.get("/v1/classify") as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST, PUT")
            assert (await response.json())["message"] == "'/v1/classify' takes POST, PUT"
        async with session.get("/nowhere") as response:
            assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")


@given(st.binary(max_size=900), st.sampled_from(["", "application/json", "multipart/form-data; boundary=x"]))
async def test_any_body_is_images_or_an_error_for_its_caller(body: bytes, content_type: str) -> None:
    with suppress(InvalidRequestError):
        assert 1 <= len((await read_body(content_type, body, most_images=5)).images) <= 5


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=9)
)
async def test_any_json_is_images_or_an_error_for_its_caller(document: Any) -> None:
    for body in (json.dumps(document), json.dumps({"images": document}), json.dumps({"image": document})):
        with suppress(InvalidRequestError):
            assert 1 <= len((await read_body("application/json", body.encode(), most_images=5)).images) <= 5


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=784, max_size=784))
def test_text_of_784_characters_is_not_pixels(text: str) -> None:
    assert not is_pixels(text.encode())
    assert is_pixels(image_of(3))
