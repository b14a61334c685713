"""Keras' archive: from a server on this machine, from the copy that Keras keeps, and not at all."""

import hashlib
import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from training.data import idx_format
from training.data.sources import KerasArchive
from training.errors import DataError

IMAGES = np.arange(2 * 784).reshape(2, 28, 28).astype(np.uint8)
LABELS = np.array([3, 7], np.uint8)


def _archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:1], y_test=LABELS[:1])
    return buffer.getvalue()


ARCHIVE = _archive()
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/mnist.npz" else 404)
        self.send_header("Content-Length", str(len(ARCHIVE)))
        self.end_headers()
        self.wfile.write(ARCHIVE)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """Serves the archive on a port of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def test_the_archive_is_downloaded_and_kept_where_keras_keeps_it(server: str, keras_home: Path) -> None:
    files = KerasArchive(f"{server}/mnist.npz", SHA256).fetch()
    assert files["train-images-idx3-ubyte"] == idx_format.encode(IMAGES)
    assert files["t10k-labels-idx1-ubyte"] == idx_format.encode(LABELS[:1])
    assert [path.relative_to(keras_home) for path in keras_home.rglob("*.npz")] == [Path("datasets/mnist.npz")]


def test_a_copy_that_is_there_needs_no_connection(keras_home: Path) -> None:
    (keras_home / "datasets").mkdir()
    (keras_home / "datasets" / "mnist.npz").write_bytes(ARCHIVE)
    assert len(KerasArchive("http://127.0.0.1:1/mnist.npz", SHA256).fetch()) == 4


def test_a_damaged_copy_is_replaced(server: str, keras_home: Path) -> None:
    (keras_home / "datasets").mkdir()
    (keras_home / "datasets" / "mnist.npz").write_bytes(ARCHIVE[:100])
    assert len(KerasArchive(f"{server}/mnist.npz", SHA256).fetch()) == 4


def test_another_archive_is_refused_and_not_kept(server: str, keras_home: Path) -> None:
    with pytest.raises(DataError, match="does not match the known hash"):
        KerasArchive(f"{server}/mnist.npz").fetch()
    assert [path for path in keras_home.rglob("*") if path.is_file()] == []


def test_no_connection_is_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"^no connection to http://127\.0\.0\.1:1/mnist\.npz$"):
        KerasArchive("http://127.0.0.1:1/mnist.npz", SHA256).fetch()


def test_a_missing_archive_says_so(server: str) -> None:
    with pytest.raises(DataError, match="404"):
        KerasArchive(f"{server}/other.npz", SHA256).fetch()


def test_a_place_that_cannot_be_written_is_an_error_of_this_source(server: str, keras_home: Path) -> None:
    (keras_home / "datasets").write_text("a file, not a folder")
    with pytest.raises(DataError, match="datasets"):
        KerasArchive(f"{server}/mnist.npz", SHA256).fetch()
