"""The committed model learns slanted handwriting: from alert to promotion, without a failed call.

LEARNING_LOOP_RECORD names the file for what was found, which `python -m tests.support.learning_loop` draws.
"""

import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.own_digits.slanted import LEARNED, Drawn, slanted_digits
from tests.integration.serving.auth.test_api_keys import MakeKey, file, make_key  # noqa: F401  # fixtures
from tests.support.committed_models import committed
from tests.support.learning_loop.callers import COUNTER, DEPARTMENTS, Traffic
from tests.support.learning_loop.loop import Loop
from tests.support.processes import ROOT, completed

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus (Debian package prometheus)")
HOURS = 2 * 3600.0  # for one attempt to adapt: the machine may be busy
SERVED = int(committed("mnist").name)
NEXT = SERVED + 1


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
    shutil.copytree(committed("mnist"), repository / "mnist" / str(SERVED))
    slanted = list(slanted_digits())
    traffic = Traffic(
        [field.tobytes() for field in np.load(ROOT / "tests" / "data" / "digits.npz")["pixels"]],
        [labelled(each) for each in slanted if each.writer in LEARNED],
        [labelled(each) for each in slanted if each.writer not in LEARNED],
        moved="slant",
    )

    def adapt(store: Path) -> tuple[int | None, list[str]]:
        settings = ("--model-repository", str(repository), "--threads", "2")
        ended = completed([sys.executable, "-m", "training", "adapt", str(store), *settings], seconds=HOURS)
        assert ended.returncode == 0, ended.stderr
        said = [*ended.stderr.splitlines(), *ended.stdout.splitlines()]
        print(*said, sep="\n", flush=True)
        return NEXT if (repository / "mnist" / str(NEXT)).exists() else None, said

    keys = {name: make_key(name) for name in (COUNTER, *DEPARTMENTS)}
    loop = Loop(repository, tmp_path, keys, file, traffic)
    record = Path(os.environ.get("LEARNING_LOOP_RECORD") or tmp_path / "learning-loop.json")
    try:
        found = loop.run((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(), adapt)
    finally:
        loop.findings.write(record)
        print(f"written: {record}")

    assert found.failures == []
    assert found.drift["slant"] > 1
    assert found.judged["candidate"] > found.judged["served"]
    wrong_share = {version: wrong / pictures for version, (pictures, wrong) in found.canary.items()}
    assert wrong_share[NEXT] < wrong_share[SERVED]
    assert found.wrong["after"] < 0.75 * found.wrong["before"]
    assert "DigitsErrorBudgetBurnsFast" not in found.alerts_after
    assert "DigitsCanaryReturned" not in found.alerts_after
