"""`--tune` on tiny models, as people run it: measured, printed as flags, shown by the server."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_digits import AsyncDigitClient
from serving.errors import ModelRejectedError
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from tests.support.processes import completed, without_settings
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, write_tiny_version

RUN = {"training": {"started": "2026-11-23T12:00:00Z"}}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """mnist version 3 and its int8 form, mnist-int8 version 1."""
    folder = write_tiny_version(tmp_path, 1)
    rewrite_metadata(folder, 1, name="mnist-int8", precision="int8", **RUN)
    (tmp_path / "mnist").rename(tmp_path / "mnist-int8")
    rewrite_metadata(write_tiny_version(tmp_path, 3), 3, **RUN)
    return tmp_path


def tune(repository: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    settings = ["--model-repository", str(repository), "--device", "cpu", *flags]
    return completed([sys.executable, "-m", "serving.commands.tune", *settings])


def open_model(graph: bytes, precision: str) -> OnnxSession:
    del precision
    return OnnxSession(graph, "cpu", threads=1)


def test_picked_settings_are_printed_as_json_and_as_flags_and_nothing_is_written(repository: Path) -> None:
    before = sorted(repository.rglob("*"))
    done = tune(repository, "--workers", "2")
    assert done.returncode == 0, done.stderr
    picked = json.loads(done.stdout)
    assert "float32, 1 thread" in done.stderr
    assert "int8, 1 thread" in done.stderr
    assert (
        f"--device cpu --precision {picked['precision']} --inference-threads {picked['inference_threads']}"
        f" --max-batch-size {picked['max_batch_size']}" in done.stderr
    )
    assert sorted(repository.rglob("*")) == before


def test_an_older_version_stands_in_for_a_broken_one(repository: Path) -> None:
    (write_tiny_version(repository, 4) / "model.onnx").write_bytes(b"cut short")
    done = tune(repository, "--precision", "float32", "--inference-threads", "1")
    assert done.returncode == 0, done.stderr
    assert "version 4 is passed over: " in done.stderr
    assert json.loads(done.stdout)["inference_threads"] == 1


def test_where_all_versions_are_broken_the_reason_is_printed(repository: Path) -> None:
    (repository / "mnist" / "3" / "model.onnx").write_bytes(b"cut short")
    done = tune(repository, "--precision", "float32", "--inference-threads", "1")
    assert done.returncode == 1
    assert "checksum" in done.stderr or "SHA-256" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_given_is_not_measured(repository: Path) -> None:
    done = tune(repository, "--precision", "int8", "--inference-threads", "3")
    picked = json.loads(done.stdout)
    assert (picked["precision"], picked["inference_threads"]) == ("int8", 3)
    assert "float32" not in done.stderr


def test_int8_form_that_fails_on_this_host_is_reported_and_not_picked(repository: Path) -> None:
    (repository / "mnist-int8" / "1" / "model.onnx").write_bytes(b"cut")
    done = tune(repository)
    assert json.loads(done.stdout)["precision"] == "float32"
    assert re.search("not measured: .*was changed or cut", done.stderr)


def test_without_a_model_the_reason_is_printed(tmp_path: Path) -> None:
    done = tune(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: there is no model mnist")


def test_the_int8_form_is_that_of_the_same_training(repository: Path) -> None:
    models = ModelRepository(repository, "mnist")
    assert list(models.forms(0)) == ["float32", "int8"]
    loaded = models.load(0, open_model, 8, "int8")
    assert (loaded.name, loaded.version, loaded.precision) == ("mnist", 3, "int8")
    rewrite_metadata(repository / "mnist" / "3", 3, training={"started": "2026-11-24T12:00:00Z"})
    with pytest.raises(ModelRejectedError, match="has no int8 form, only float32"):
        models.load(0, open_model, 8, "int8")


def test_a_broken_neighbour_does_not_keep_a_model_from_serving(repository: Path) -> None:
    (repository / "mnist-int8" / "1" / "metadata.json").write_text("{")
    assert ModelRepository(repository, "mnist").load(0, open_model, 8).precision == "float32"


async def test_the_server_shows_how_the_model_is_run(repository: Path, start_server: StartServer) -> None:
    settings = {"precision": "int8", "max_batch_size": 16, "inference_threads": 1, "tune": True}
    async with start_server(model_repository=repository, **settings) as server:
        metrics = [family for family in await server.server.collect() if family.name == "mnist_inference"]
        async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
            model = await client.get_model()
    assert (model.name, model.version, model.precision) == ("mnist", 3, "int8")
    assert (model.max_batch_size, model.inference_threads, model.is_tuned) == (16, 1, True)
    assert metrics[0].samples[0].labels == {
        "precision": "int8",
        "threads": "1",
        "max_batch_size": "16",
        "tuned": "true",
    }


def test_only_the_settings_that_tuning_uses_are_read_from_the_environment(repository: Path) -> None:
    unused = {"MNIST_HOST": "0.0.0.0", "MNIST_LOG_LEVEL": "loud", "MNIST_TUNE": "maybe"}
    used = {"MNIST_PRECISION": "int8", "MNIST_INFERENCE_THREADS": "1"}
    settings = ["--model-repository", str(repository), "--device", "cpu", "--host", "0.0.0.0"]
    done = completed([sys.executable, "-m", "serving", "tune", *settings], env=without_settings() | unused | used)
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["precision"], json.loads(done.stdout)["inference_threads"]) == ("int8", 1)
