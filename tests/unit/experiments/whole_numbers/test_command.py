"""The evaluation over HTTP, and the gallery."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.whole_numbers import command
from experiments.whole_numbers.__main__ import main
from experiments.whole_numbers.pictures import make
from tests.support.whole_numbers import committed_handwriting, perfect

HANDWRITING = committed_handwriting()
KIND = "scan-spaced"


@contextmanager
def server(answers: Sequence[tuple[int, Any]], received: list[bytes]) -> Iterator[str]:
    """A server that gives these answers (status, JSON), one after the other."""
    left = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/read"
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = next(left)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/"
        finally:
            http.shutdown()
            thread.join()


def test_pictures_are_sent_as_png_and_the_table_says_how_they_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    truths = [make(KIND, seed, "test", HANDWRITING) for seed in (3, 4)]
    answers = [(200, perfect(each)) for each in (truths[0], *truths)]
    received: list[bytes] = []
    with server(answers, received) as url:
        command.evaluate(url, [KIND], 2, "test", 3, HANDWRITING)
    for content, truth in zip(received[1:], truths, strict=True):
        assert np.array_equal(np.asarray(Image.open(BytesIO(content))), truth.grey)
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.count("|") == row.count("|")
    assert row.startswith(
        f"| {KIND} | 2 | 100.0 % (34.2 to 100.0) | 0.0 % | 0.0 % | 0.0 % | 0.00 | 100.00 % | 100.00 %"
    )


def test_a_server_that_answers_otherwise_is_an_error_in_words() -> None:
    with (
        server([(404, {"error": "no such path"})], []) as url,
        pytest.raises(command.ServerError, match=r"404 and not a reading: .*no such path"),
    ):
        command.evaluate(url, [KIND], 1, "test", 0, HANDWRITING)
    with pytest.raises(command.ServerError, match="start the server, or name it with --url"):
        command.evaluate(url, [KIND], 1, "test", 0, HANDWRITING)


def test_boxes_are_drawn_around_the_ink_and_not_over_it() -> None:
    truth = make("marks", 0, "test", HANDWRITING)
    drawn = np.asarray(command.with_boxes(truth))
    for x, y, width, height in truth.lines[0].boxes[:1]:
        assert np.array_equal(drawn[y : y + height, x : x + width, 0], truth.grey[y : y + height, x : x + width])
        assert tuple(drawn[y - 1, x - 1]) == (214, 39, 40)


def test_help_names_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "evaluate" in shown
    assert "pictures" in shown
    assert main(["evaluate", "--kind", "unknown"]) == 2
