"""The committed model learns slanted handwriting: from alert to promotion, without a failed call."""

import io
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.own_digits.slanted import LEARNED, Drawn, slanted_digits
from tests.integration.serving.auth.test_api_keys import MakeKey, file, make_key  # noqa: F401  # fixtures
from tests.support.learning_loop import COUNTER, DEPARTMENTS, Loop, Traffic
from tests.support.processes import ROOT, completed

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus (Debian package prometheus)")
HOUR = 3600.0


def labelled(drawn: Drawn) -> tuple[bytes, int]:
    picture = io.BytesIO()
    Image.fromarray(drawn.picture).save(picture, "PNG")
    return picture.getvalue(), drawn.digit


@pytest.mark.long
def test_slanted_handwriting_is_noticed_learned_and_read_better(
    tmp_path: Path,
    make_key: MakeKey,  # noqa: F811
    file: Path,  # noqa: F811
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(ROOT / "models" / "mnist" / "3", repository / "mnist" / "3")
    slanted = list(slanted_digits())
    traffic = Traffic(
        [field.tobytes() for field in np.load(ROOT / "tests" / "data" / "digits.npz")["pixels"]],
        [labelled(each) for each in slanted if each.writer in LEARNED],
        [labelled(each) for each in slanted if each.writer not in LEARNED],
    )

    said = []

    def adapt(store: Path) -> Path:
        # One run: what speaks against the version, if anything does, is in what the command says, and is shown below.
        settings = ("--model-repository", str(repository), "--threads", "2", "--anyway")
        ended = completed([sys.executable, "-m", "training", "adapt", str(store), *settings], seconds=HOUR)
        assert ended.returncode == 0, ended.stderr
        said.extend(ended.stderr.splitlines())
        return repository / "mnist" / "4"

    keys = {name: make_key(name) for name in (COUNTER, *DEPARTMENTS)}
    loop = Loop(repository, tmp_path, keys, file, traffic)
    found = loop.run((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(), adapt)
    print(json.dumps(asdict(found) | {"objections": [line for line in said if "against it" in line]}, indent=1))
    print(*said, sep="\n")

    assert found.failures == []
    assert found.drift
    assert found.judged["candidate"] > found.judged["served"]
    wrong_share = {version: wrong / pictures for version, (pictures, wrong) in found.canary.items()}
    assert wrong_share[4] < wrong_share[3]
    assert found.wrong["after"] < 0.75 * found.wrong["before"]
    assert "DigitsErrorBudgetBurnsFast" not in found.alerts_after
    assert "DigitsCanaryReturned" not in found.alerts_after
