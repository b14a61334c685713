import json
from pathlib import Path

import pytest

from benchmarks.gpu.cli import main
from tests.support.committed_models import version_name


@pytest.mark.serial
def test_a_rehearsal_without_a_card_records_every_chosen_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = ["machine", "start", "golden", "pieces", "service on the cpu, 1 worker"]
    main(["run", "--provider", "cpu", "--out", str(tmp_path), "--budget-seconds", "120", "--steps", *steps])
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert [name for name in written if "error" in written[name]] == []
    assert set(written) == set(steps)
    assert written["golden"]["result"][f"{version_name('mnist')} graph"]["other_digits"] == 0
    loads = written["service on the cpu, 1 worker"]["result"]["loads"]
    assert set(loads) == {"1 digit a request, 32 at once", "64 digits a request, 8 at once"}
    assert all(load["requests_per_second"] > 0 for load in loads.values())
    assert "FAILED" not in (tmp_path / "gpu.txt").read_text()
    assert "[golden] ends" in capfd.readouterr().out
