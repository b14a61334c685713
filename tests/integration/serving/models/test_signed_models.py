"""With a public key, only versions signed by its key are served; every other one is refused as unsigned."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.errors import MOST_SHOWN, ModelRejectedError
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.version_policy import parse_policy
from tests.support.changing_repository import model
from tests.support.processes import completed
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, tiny_graph, write_tiny_version


class KeyPair:
    """An elliptic-curve key pair in PEM files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        private = ec.generate_private_key(ec.SECP256R1())
        self.private, self.public = folder / "private.pem", folder / "public.pem"
        plain, pkcs8 = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
        self.private.write_bytes(private.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public.write_bytes(private.public_key().public_bytes(serialization.Encoding.PEM, info))

    def sign(self, version: Path) -> None:
        """Signs the version by the command in docs/operations.md."""
        command = ["sign", "key", str(version), "--private_key", str(self.private)]
        signature = ["--signature", str(version / "model.sig")]
        done = completed([sys.executable, "-m", "model_signing", *command, *signature])
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def signed_models(ours: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose version is signed by the key; tests get copies."""
    models = tmp_path_factory.mktemp("signed") / "models"
    ours.sign(write_tiny_version(models))
    return models


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_tiny_version(tmp_path / "models")


@pytest.fixture
def signed(signed_models: Path, tmp_path: Path) -> Path:
    """A version of one's own, signed by the key."""
    return shutil.copytree(signed_models, tmp_path / "models") / "mnist" / "1"


def load(version: Path, public_key: Path, precision: str = "auto") -> int:
    repository = ModelRepository(version.parents[1], "mnist", public_key)
    return repository.load(1, lambda graph, _: OnnxSession(graph, "cpu", threads=1), 8, precision).version


def int8_form(version: Path) -> Path:
    """Writes the int8 form of this version: a model of its own from the same training run."""
    training = {"seed": 1}
    rewrite_metadata(version, training=training)
    form = version.parents[1] / "mnist-int8" / "1"
    shutil.copytree(version, form)
    rewrite_metadata(form, name="mnist-int8", precision="int8", training=training)
    return form


def test_version_signed_by_the_key_is_served_whatever_an_earlier_tuning_has_left(ours: KeyPair, signed: Path) -> None:
    (signed / "tuning.json").write_text("{}")
    assert load(signed, ours.public) == 1


def of_somebody_else(version: Path, folder: Path) -> None:
    KeyPair(folder / "theirs").sign(version)


def changed_with_its_description(version: Path, folder: Path) -> None:
    """Changes the version consistently: only the signature shows it."""
    del folder
    (version / "model.onnx").write_bytes(tiny_graph(weight=0.05))
    rewrite_metadata(version, novelty_threshold=1.0)


def with_a_file_more(version: Path, _: Path) -> None:
    (version / "more.bin").write_bytes(b"more")


def with_a_file_less(version: Path, _: Path) -> None:
    (version / "golden.npz").unlink()


def whose_signature_is_garbled(version: Path, _: Path) -> None:
    (version / "model.sig").write_text("no signature")


@pytest.mark.parametrize(
    "spoil",
    [of_somebody_else, changed_with_its_description, with_a_file_more, with_a_file_less, whose_signature_is_garbled],
)
def test_a_version_that_is_not_what_was_signed_is_unsigned(
    spoil: Callable[[Path, Path], None], ours: KeyPair, signed: Path, tmp_path: Path
) -> None:
    spoil(signed, tmp_path)
    with pytest.raises(ModelRejectedError) as raised:
        load(signed, ours.public)
    assert raised.value.check == "unsigned"


def test_a_version_without_a_signature_is_unsigned(ours: KeyPair, version: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"there is no model\.sig: sign it") as raised:
        load(version, ours.public)
    assert raised.value.check == "unsigned"


def test_public_key_that_is_missing_refuses_every_version(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError) as raised:
        load(signed, tmp_path / "nowhere.pem")
    assert raised.value.check == "unsigned"


def test_an_int8_form_is_served_where_the_version_is_signed_too(ours: KeyPair, version: Path) -> None:
    form = int8_form(version)
    ours.sign(form)
    with pytest.raises(ModelRejectedError, match=str(version)) as raised:
        load(version, ours.public, "int8")
    assert raised.value.check == "unsigned"
    ours.sign(version)
    assert load(version, ours.public, "int8") == 1


def with_a_huge_file_more(version: Path) -> None:
    (version / "more.bin").touch()
    os.truncate(version / "more.bin", 2**31)  # sparse


def with_a_huge_graph(version: Path) -> None:
    os.truncate(version / "model.onnx", 2**31)


def with_a_huge_signature(version: Path) -> None:
    os.truncate(version / "model.sig", 2**31)


def with_a_fifo(version: Path) -> None:
    os.mkfifo(version / "more.bin")


def with_a_folder(version: Path) -> None:
    (version / "more").mkdir()


def with_many_files(version: Path) -> None:
    for number in range(1000):
        (version / str(number)).touch()


def with_a_name_that_is_no_text(version: Path) -> None:
    (version / os.fsdecode(b"\xff")).touch()


@pytest.mark.parametrize(
    "spoil",
    [
        with_a_huge_file_more,
        with_a_huge_graph,
        with_a_huge_signature,
        with_a_fifo,
        with_a_folder,
        with_many_files,
        with_a_name_that_is_no_text,
    ],
)
def test_what_is_not_signed_costs_little(
    spoil: Callable[[Path], None], ours: KeyPair, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(signed)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ModelRejectedError) as raised:
        load(signed, ours.public)
    assert raised.value.check in ("unsigned", "unreadable")
    assert not list(tmp_path.glob("mnist-model-*"))


def test_nothing_of_an_unsigned_description_is_shown(ours: KeyPair, signed: Path) -> None:
    rewrite_metadata(signed, name="shown" * 1_000)
    for is_signed in (True, False):  # by a signature of what it was before
        if not is_signed:
            (signed / "model.sig").unlink()
        with pytest.raises(ModelRejectedError) as raised:
            load(signed, ours.public)
        assert raised.value.check == "unsigned"
        assert "shown" not in str(raised.value)
        assert len(str(raised.value)) <= MOST_SHOWN


async def test_a_version_that_is_named_by_the_flag_is_served_whatever_config_pbtxt_says(
    ours: KeyPair, signed: Path, start_server: StartServer
) -> None:
    """config.pbtxt is not signed: without the flag it takes a server back to an older version."""
    models = signed.parents[1]
    ours.sign(write_tiny_version(models, 2))
    (models / "mnist" / "config.pbtxt").write_text("version_policy { specific { versions: 1 } }")
    settings = {"model_repository": models, "model_public_key": ours.public}
    async with start_server(**settings) as server:
        assert (await model(server)).version == 1
    async with start_server(**settings, model_version=parse_policy("2")) as server:
        assert (await model(server)).version == 2


def test_a_signed_version_cannot_stand_in_for_another(ours: KeyPair, signed: Path) -> None:
    shutil.copytree(signed, signed.with_name("2"))
    repository = ModelRepository(signed.parents[1], "mnist", ours.public)
    with pytest.raises(ModelRejectedError, match="is of mnist version 1, expected mnist version 2"):
        repository.load(2, lambda graph, _: OnnxSession(graph, "cpu", threads=1), 8)
