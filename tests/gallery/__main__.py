"""`python -m tests.gallery`: draws the pictures of docs/pictures.md into docs/images/pictures.

Among the tests, as the screenshots of the page are: it draws with the server's intake and with the lines of
experiments/, and no shipped package may import both.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from tests.gallery import lines, one_digit
from tests.support.processes import ROOT

FOLDER = ROOT / "docs/images/pictures"
PICTURES: dict[str, Callable[[], Image.Image]] = {
    "photo-to-ink": one_digit.photo_to_ink,
    "ink-to-28x28": one_digit.ink_to_mnist,
    "canvas-in-page": one_digit.canvas_in_page,
    "soft-crop": one_digit.soft_crop,
    "line-cuts": lines.line_cuts,
    "line-columns": lines.line_columns,
    "line-candidates": lines.line_candidates,
    "line-boxes": lines.line_boxes,
    "comb": lines.comb,
    "not-read": lines.not_read,
}


def main(arguments: Sequence[str]) -> int:
    """Draws all pictures. `arguments`: another folder, if any."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawn in PICTURES.items():
        drawn().quantize(64).save(folder / f"{name}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
