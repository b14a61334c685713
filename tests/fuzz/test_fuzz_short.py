"""The fuzzer's corpus, and some mutations of it, through each target. tests/fuzz/README.md describes long runs."""

import os
import platform
import sys
from pathlib import Path

import pytest

from serving.config import Config
from serving.errors import InvalidRequestError
from serving.image.decode import decode
from serving.image.picture import ImageLimits
from tests.support.processes import ROOT, completed

PICTURES = ROOT / "tests/fuzz/corpus/intake"
PRODUCTION = ImageLimits(Config().max_image_bytes, Config().max_image_pixels)
RUNS = {"intake": 1_500, "read": 1_000, "classify": 5_000, "infer": 5_000}  # the corpus included; some seconds each
HAS_ATHERIS = (sys.platform, platform.machine()) == ("linux", "x86_64") and sys.version_info < (3, 14)


def pictures(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PICTURES / folder).iterdir())


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.skipif(not HAS_ATHERIS, reason="atheris has wheels for Python 3.11 to 3.13 on x86-64 Linux alone")
@pytest.mark.parametrize("target", RUNS)
def test_fuzzer_finds_nothing_in_the_corpus_and_some_mutations_of_it(target: str, tmp_path: Path) -> None:
    # As nearly the same mutations each time as libFuzzer makes them: a test should not fail by chance, and new ones are
    # what long runs are for. Addresses, which differ, are in what it learns from comparisons (use_cmp).
    options = ["--runs", str(RUNS[target]), "--seed", "1", "--findings", str(tmp_path), "--", "-use_cmp=0"]
    command = [sys.executable, "-m", "tests.fuzz", target, *options]
    ran = completed(command, seconds=300, env={**os.environ, "PYTHONHASHSEED": "0"})
    assert ran.returncode == 0, ran.stderr[-6000:]
    assert f"Done {RUNS[target]} runs" in ran.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", pictures("bombs", "unlisted"), ids=name_of)
def test_bomb_and_format_that_is_not_listed_is_refused(path: Path) -> None:
    with pytest.raises(InvalidRequestError):
        decode(path.read_bytes(), PRODUCTION)


@pytest.mark.parametrize("path", pictures("listed"), ids=name_of)
def test_every_kind_of_listed_format_is_read(path: Path) -> None:
    assert decode(path.read_bytes(), PRODUCTION).size > 0
