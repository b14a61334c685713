"""The pictures of docs/pictures.md are what the code draws today."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.gallery.__main__ import FOLDER, PICTURES, main
from tests.support.processes import ROOT

MOST_BYTES = 400_000  # of all pictures together
ALIKE = 10.0  # mean difference in grey levels: other processors may round a probability to another hundredth


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    assert main([str(folder)]) == 0
    return folder


def test_the_document_shows_every_picture_that_is_drawn_and_each_is_there() -> None:
    shown = re.findall(r"\]\(images/pictures/([\w-]+)\.png\)", (ROOT / "docs/pictures.md").read_text())
    assert sorted(shown) == sorted(PICTURES) == sorted(path.stem for path in FOLDER.iterdir())


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


def test_another_process_draws_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.gallery", str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    assert {path.name: path.read_bytes() for path in drawn.iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("name", PICTURES)
def test_a_committed_picture_is_what_the_code_draws(name: str, drawn: Path) -> None:
    committed, new = (Image.open(folder / f"{name}.png").convert("L") for folder in (FOLDER, drawn))
    difference = np.abs(np.asarray(committed, np.float32) - np.asarray(new.resize(committed.size), np.float32))
    assert difference.mean() < ALIKE, "run `python -m tests.gallery` and look at docs/pictures.md"
