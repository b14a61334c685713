import json
import sys
from pathlib import Path

from benchmarks.gpu.record import Budget, Record
from benchmarks.gpu.summary import summary

WRITES = "import sys; open(sys.argv[1], 'w').write('{\"result\": 7}')"
CRASHES = "import os; os.abort()"


def program(code: str, result: Path) -> list[str]:
    return [sys.executable, "-c", code, str(result)]


def test_each_step_is_written_down_and_a_crash_does_not_end_the_run(tmp_path: Path) -> None:
    record, result = Record(tmp_path / "gpu.json", Budget(60)), tmp_path / "result"
    record.run("first", program(WRITES, result), result, 1, 10)
    record.run("crash", program(CRASHES, result), result, 1, 10)
    record.run("last", program(WRITES, result), result, 1, 10)
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert list(written) == ["first", "crash", "last"]
    assert (written["first"]["result"], written["last"]["result"]) == (7, 7)
    assert "status -6" in written["crash"]["error"]


def test_a_step_without_enough_time_left_is_left_out(tmp_path: Path) -> None:
    record, result = Record(tmp_path / "gpu.json", Budget(5)), tmp_path / "result"
    record.run("long", program(WRITES, result), result, 20, 30)
    assert "left out" in record.steps["long"]["error"]
    assert not result.exists()


def test_the_summary_of_nothing_and_of_failures_says_so() -> None:
    assert "card: " in summary({})
    assert "FAILED  rates: RuntimeError: no card" in summary({"rates": {"error": "RuntimeError: no card"}})


def test_the_summary_has_a_row_for_each_batch_size_and_load() -> None:
    text = summary(
        {
            "rates": {"result": {"cpu": {"1": 0.001, "16": 0.004}, "cuda": {"16": 0.001}}},
            "service on the cpu": {
                "result": {"loads": {"1 digit": {"requests_per_second": 12.0, "p50_ms": 1.5, "p99_ms": 2.5}}}
            },
        }
    )
    assert "1,000 us       1,000/s" in text
    assert "1,000 us      16,000/s" in text
    assert "12 requests/s   p50 1.50 ms   p99 2.50 ms" in text
