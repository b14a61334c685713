"""The font archives' cache, on tiny archives of their own."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import DataError
from training.synthetic.font_families import FAMILIES, FontFamily
from training.synthetic.fonts import load_faces


def _archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(f"package/files/{name}-latin-400-normal.woff")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"wOFF"))
    return buffer.getvalue()


@pytest.fixture
def family(tmp_path: Path) -> FontFamily:
    """A family whose archive is in the cache folder `tmp_path`."""
    content = _archive("tiny")
    tiny = FontFamily("tiny", "train", "printed", (400,), hashlib.sha256(content).hexdigest())
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / tiny.archive).write_bytes(content)
    return tiny


def test_no_family_is_in_two_parts_and_each_part_has_both_styles() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert len({family.sha256 for family in FAMILIES}) == len(FAMILIES)
    for part in ("train", "validation", "test"):
        assert {family.style for family in FAMILIES if family.part == part} == {"handwriting", "printed"}


def test_cached_archives_are_read_without_npm(
    family: FontFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    (face,) = load_faces(tmp_path, "train", families=[family, replace(family, part="test")])
    assert (face.family, face.style, face.weight, face.content) == ("tiny", "printed", 400, b"wOFF")


def test_a_damaged_archive_is_never_used(family: FontFamily, tmp_path: Path) -> None:
    path = tmp_path / "fonts" / family.archive
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"fontsource-tiny.*Delete it to fetch it again"):
        load_faces(tmp_path, "train", families=[family])


def test_without_npm_the_error_says_what_to_install_and_where_archives_go(
    family: FontFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match=r"(?s)apt-get install npm.*empty/fonts"):
        load_faces(tmp_path / "empty", "train", families=[family])
