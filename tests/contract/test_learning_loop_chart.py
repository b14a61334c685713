"""The chart of docs/learning.md is drawn from what the long test of the loop writes."""

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.support.learning_loop.__main__ import main
from tests.support.learning_loop.chart import steps
from tests.support.learning_loop.findings import Attempt, Findings


@pytest.fixture
def found() -> Findings:
    """A turn of seven minutes, in which adapting was refused once; the second server had no index for a minute."""
    before, after = [(40.0, 0.2), (45.0, 1.5)], [(105.0, 1.5), (200.0, 1.6)]
    return Findings(
        stages={"ordinary": 30.0, "alert": 90.0, "adapted": 240.0, "shadow": 300.0, "canary": 360.0, "promoted": 420.0},
        drift={"polarity": 1.5},
        attempts=[Attempt(100.0, 160.0, 200, 25, None, ["against it: chance"]), Attempt(170.0, 240.0, 400, 51, 4, [])],
        wrong={"before": 100, "after": 52},
        fresh=499,
        answered={"before": [7] * 499, "after": [-1, *range(10)] * 45 + [1] * 4},
        judged={"both": 200, "served": 1, "candidate": 22, "neither": 20},
        canary={3: [312, 69], 4: [187, 19]},
        answers=[(30, 3, 100, 20), (40, 3, 100, 21), (310, 3, 60, 13), (310, 4, 40, 3), (370, 4, 100, 9)],
        index={"polarity 3": before + after, "ink 3": before, "polarity 4": [(400.0, 1.4)]},
        firing={"polarity 3": [(85.0, 1.0), (90.0, 1.0)]},
    )


def test_a_record_is_read_as_it_was_written(found: Findings, tmp_path: Path) -> None:
    record = tmp_path / "folder" / "record.json"
    found.write(record)
    assert Findings.read(record) == found


def test_each_attempt_to_adapt_is_a_step_with_its_outcome(found: Findings) -> None:
    names = [name for name, *_ in steps(found)]
    assert names == [
        "ordinary",
        "new handwriting",
        "",
        "200 labelled, 25 of them wrong\nadapting: refused",
        "",
        "400 labelled, 51 of them wrong\nadapting: version 4 written",
        "shadow",
        "canary",
        "promoted",
    ]
    ends = [(begin, end) for _, begin, end, _ in steps(found)]
    assert ends[0][0] == 0
    assert ends[-1][1] == 7.0  # minutes
    assert all(end == begin for (_, end), (begin, _) in pairwise(ends))


def test_the_same_record_gives_the_same_picture(found: Findings, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    found.write(record)
    for name in ("one.png", "other.png"):
        main([str(record), str(tmp_path / name)])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**20) or ()) > 100
