"""The evaluation of a running server, and the gallery of pictures."""

import io
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests
from PIL import Image, ImageDraw

from experiments.whole_numbers.handwriting import Handwriting
from experiments.whole_numbers.pictures import KINDS, Grey, Picture, make
from experiments.whole_numbers.scoring import Figures, Reading, Score, figures, score
from training.errors import TrainingError

_PATH = "/v1/read"
_TIMEOUT_SECONDS = 60.0
_DIGIT_COLOUR, _MARK_COLOUR = (214, 39, 40), (31, 119, 180)


class ServerError(TrainingError):
    """The server cannot be reached, or does not read the picture."""


def evaluate(
    url: str, kinds: Sequence[str], count: int, split: str, first_seed: int, handwriting: Handwriting | None = None
) -> None:
    """Send `count` pictures of each kind, one at a time; the table to standard output, progress to standard error.

    Args:
        url: of the server, without a path.
        kinds: of KINDS.
        count: pictures of each kind.
        split: of SPLITS.
        first_seed: the pictures have this one and those after it.
        handwriting: as for `make`.

    Raises:
        ServerError: the server did not answer a picture with a reading.
        DataError: MNIST cannot be had.
    """
    measured = {}
    with requests.Session() as session:
        _read(
            session, url, png(make(kinds[0], first_seed, split, handwriting).grey)
        )  # the first one opens the connection
        for kind in kinds:
            scores: list[Score] = []
            milliseconds: list[float] = []
            for seed in range(first_seed, first_seed + count):
                picture = make(kind, seed, split, handwriting)
                reading, seconds = _read(session, url, png(picture.grey))
                scores.append(score(picture, reading))
                milliseconds.append(1000 * seconds)
            measured[kind] = figures(scores, milliseconds)
            print(f"{kind}: {measured[kind].right_lines:.1%} of {measured[kind].lines} lines", file=sys.stderr)
    print(table(measured))


def write_gallery(folder: Path, split: str, seed: int) -> None:
    """Write one picture of each kind, as KIND.png, and with the boxes of its truth, as KIND-boxes.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        picture = make(kind, seed, split)
        (folder / f"{kind}.png").write_bytes(png(picture.grey))
        with_boxes(picture).save(folder / f"{kind}-boxes.png")


def table(measured: Mapping[str, Figures]) -> str:
    """A Markdown table, one row for each kind."""
    columns = (
        "kind", "lines", "whole lines right (95 % interval)", "wrong, not refused", "refused", "not found",
        "extra lines a picture", "digits right", "boxes, IoU ≥ 0.8", "ECE of a line", "median ms",
    )  # fmt: skip
    rows = [columns, ("---",) * len(columns)]
    for kind, each in measured.items():
        low, high = each.interval
        rows.append(
            (
                kind,
                f"{each.lines:,}",
                f"{100 * each.right_lines:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
                *(f"{100 * share:.1f} %" for share in (each.silently_wrong, each.refused, each.lost)),
                f"{each.extra_lines:.2f}",
                *(f"{100 * share:.2f} %" for share in (each.right_digits, each.right_boxes)),
                f"{each.calibration_error:.3f}",
                f"{each.milliseconds:.1f}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_boxes(picture: Picture) -> Image.Image:
    """The picture in colour, boxes of digits red and boxes of other marks blue, each drawn around its ink."""
    drawn = Image.fromarray(picture.grey).convert("RGB")
    draw = ImageDraw.Draw(drawn)
    digits = [(box, _DIGIT_COLOUR) for line in picture.lines for box in line.boxes.tolist()]
    for (x, y, width, height), colour in digits + [(box, _MARK_COLOUR) for box in picture.non_digits.tolist()]:
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=colour)
    return drawn


def png(grey: Grey) -> bytes:
    """A PNG file of grey values."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _read(session: requests.Session, url: str, content: bytes) -> tuple[Reading, float]:
    """The server's reading of a picture file, and the seconds until it was there."""
    address = url.rstrip("/") + _PATH
    start = time.perf_counter()
    try:
        response = session.post(
            address, data=content, headers={"Content-Type": "application/octet-stream"}, timeout=_TIMEOUT_SECONDS
        )
        seconds = time.perf_counter() - start
    except requests.RequestException as error:
        raise ServerError(f"no answer from {address}: start the server, or name it with --url ({error})") from error
    if response.status_code != requests.codes.ok:
        raise ServerError(f"{address} answered {response.status_code} and not a reading: {response.text[:200]}")
    reading: Reading = response.json()
    return reading, seconds
