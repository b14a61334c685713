"""`python -m tests.support.learning_loop RECORD [PICTURE]`: draws what the long test of the loop has found."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.own_digits.slanted import LEARNED, slanted_digits
from tests.support.learning_loop.chart import draw
from tests.support.learning_loop.findings import Findings
from tests.support.processes import ROOT


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.learning_loop", description="Draws a turn.")
    parser.add_argument("record", type=Path, help="file that LEARNING_LOOP_RECORD named")
    parser.add_argument("picture", type=Path, nargs="?", default=ROOT / "docs/images/learning-loop.png")
    options = parser.parse_args(arguments)
    fresh = [each for each in slanted_digits() if each.writer not in LEARNED]
    draw(Findings.read(options.record), fresh, options.picture)


if __name__ == "__main__":
    main()
