"""Pictures as people send them: photos of paper, screenshots, crops, form cells, and several digits in one picture.

Each kind has random parameters. Its digits are MNIST's of tests/data, drawn large with smooth outlines.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from tests.support.drawn_digits import DIGITS, LABELS, Floats, Generator, Grey, drawn, pen_drawn, placed

HEIGHT, WIDTH = 400, 300  # pixels of a photo
Seen = npt.NDArray[np.floating | np.integer]  # grey levels before they are a picture
DARK_INK = (20, 70)  # grey levels of dark ink


def photo(digit: Grey, rng: Generator) -> Grey:
    """Pen on paper that is lit from one side."""
    ink = _on_page(digit, rng)
    paper = rng.uniform(140, 235) * _light(rng)
    return _taken(_inked(paper, np.minimum(rng.uniform(20, 90), paper), ink), rng, noise=rng.uniform(1, 5))


def pencil(digit: Grey, rng: Generator) -> Grey:
    """Grey lead, which takes a third to a half of the paper's light."""
    paper = rng.uniform(150, 230) * _light(rng)
    return _taken(paper * (1 - rng.uniform(0.3, 0.5) * _on_page(digit, rng)), rng, noise=rng.uniform(1, 3))


def ballpoint(digit: Grey, rng: Generator) -> Grey:
    """Thin pen, a small digit on a large page."""
    ink = pen_drawn(digit, 5 * HEIGHT * rng.uniform(0.08, 0.2), rng.uniform(5, 9))
    page = cv2.resize(placed(ink, 5 * HEIGHT, 5 * WIDTH, rng), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    paper = rng.uniform(150, 230) * _light(rng)
    return _taken(_inked(paper, rng.uniform(30, 90), page.astype(np.float32)), rng, noise=rng.uniform(1, 3), blur=0.6)


def shadow(digit: Grey, rng: Generator) -> Grey:
    """Edge of a shadow across the page, at any angle, soft or sharp."""
    paper = rng.uniform(180, 230) * _light(rng, 0.2) * (1 - rng.uniform(0.25, 0.5) * _beyond_a_line(rng))
    return _taken(paper * (1 - (1 - rng.uniform(0.08, 0.3)) * _on_page(digit, rng)), rng, noise=rng.uniform(1, 4))


def lit_strip(digit: Grey, rng: Generator) -> Grey:
    """Page in the shadow of the phone, but for a lit strip at the top."""
    down = np.linspace(0, 1, HEIGHT)[:, None]
    lit, dark, falling = rng.uniform(190, 210), rng.uniform(115, 135), rng.uniform(0, 20)
    paper = dark - falling * down + (lit - dark) * _step((rng.uniform(0.1, 0.32) - down) / 0.012)
    ink = placed(drawn(digit, rng.uniform(0.4, 0.6) * WIDTH, rng), HEIGHT, WIDTH, rng)
    return _taken(_inked(np.repeat(paper, WIDTH, 1).astype(np.float32), rng.uniform(8, 25), ink), rng, noise=2)


def table(digit: Grey, rng: Generator) -> Grey:
    """Sheet seen at an angle, so that the table shows at some of its sides."""
    ink = placed(drawn(digit, rng.uniform(0.2, 0.45) * WIDTH, rng), HEIGHT, WIDTH, rng, margin=0.2)
    sheet = _inked(rng.uniform(150, 220) * _light(rng), rng.uniform(20, 60), ink)
    corners = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (WIDTH, HEIGHT)
    seen_at = (corners + rng.uniform(-0.05, 0.14, (4, 2)) * inward).astype(np.float32)
    turn = cv2.getPerspectiveTransform(corners, seen_at)
    seen = cv2.warpPerspective(sheet, turn, (WIDTH, HEIGHT), borderValue=rng.uniform(20, 90))
    return _taken(seen, rng, noise=rng.uniform(1, 5))


def table_strips(digit: Grey, rng: Generator) -> Grey:
    """Dark straight strips of the table along one, two or three sides."""
    ink = placed(drawn(digit, rng.uniform(0.2, 0.4) * HEIGHT, rng), HEIGHT, WIDTH, rng, margin=0.2)
    seen = _inked(np.full((HEIGHT, WIDTH), rng.uniform(160, 220), np.float32), rng.uniform(30, 60), ink)
    for side in rng.permutation(4)[: rng.integers(1, 4)]:
        turned = np.rot90(seen, side)  # a view
        turned[: int(rng.uniform(0.02, 0.14) * len(turned))] = rng.uniform(30, 70)
    return _taken(seen, rng, noise=4)


def desk(digit: Grey, rng: Generator) -> Grey:
    """Small sheet, turned a little, in the middle of a dark desk."""
    side = HEIGHT
    height, width = (int(share * side) for share in rng.uniform(0.35, 0.6, 2))
    ink = placed(drawn(digit, rng.uniform(0.35, 0.7) * min(height, width), rng), height, width, rng, margin=0.1)
    sheet = _inked(np.full((height, width), rng.uniform(170, 235), np.float32), rng.uniform(20, 60), ink)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-12, 12), 1)
    turn[:, 2] += rng.uniform(0.3, 0.7, 2) * np.array([side - width, side - height])
    covered = cv2.warpAffine(np.ones_like(sheet), turn, (side, side))
    wood = cv2.GaussianBlur(rng.normal(0, 20, (side, side)).astype(np.float32), (0, 0), 3) + rng.uniform(40, 110)
    return _taken(wood * (1 - covered) + cv2.warpAffine(sheet, turn, (side, side)), rng, noise=3)


def ruled(digit: Grey, rng: Generator) -> Grey:
    """Ruled paper: pale lines through and around the digit."""
    gap = rng.uniform(0.06, 0.12) * HEIGHT
    ink = placed(drawn(digit, min(rng.uniform(1.2, 4) * gap, 0.6 * WIDTH), rng), HEIGHT, WIDTH, rng)
    lines = _lines(gap, rng)
    return _taken(_inked(_lined(lines, rng), rng.uniform(*DARK_INK), ink), rng, noise=rng.uniform(1, 3), blur=0.8)


def squared(digit: Grey, rng: Generator) -> Grey:
    """Squared paper."""
    gap = rng.uniform(0.05, 0.09) * HEIGHT
    ink = placed(drawn(digit, min(rng.uniform(1.5, 6) * gap, 0.65 * WIDTH), rng), HEIGHT, WIDTH, rng)
    lines = np.maximum(_lines(gap, rng), _lines(gap, rng, upright=True))
    return _taken(_inked(_lined(lines, rng), rng.uniform(*DARK_INK), ink), rng, noise=rng.uniform(1, 3), blur=0.8)


def canvas(digit: Grey, rng: Generator) -> Grey:
    """Drawing on a page or screen of one level, small or large, light or dark."""
    side = int(rng.choice([140, 200, 280, 400, 500]))
    ink = placed(drawn(digit, rng.uniform(0.2, 0.85) * side, rng), side, side, rng, margin=0.03)
    return (255 * (ink if rng.random() < 0.4 else 1 - ink)).astype(np.uint8)


def inset(digit: Grey, rng: Generator) -> Grey:
    """Screenshot: a dark canvas in a light page, or a light one in a dark page."""
    height, width = rng.integers(240, 400), rng.integers(300, 560)
    side = int(rng.uniform(0.45, 0.85) * min(height, width))
    page = np.ones((height, width), np.float32)
    down, right = (int(rng.uniform(0.1, 0.9) * (length - side)) for length in (height, width))
    ink = placed(drawn(digit, rng.uniform(0.3, 0.75) * side, rng), side, side, rng, margin=0.06)
    page[down : down + side, right : right + side] = ink
    return (255 * (page if rng.random() < 0.7 else 1 - page)).astype(np.uint8)


def soft_crop(digit: Grey, rng: Generator) -> Grey:
    """Small, soft picture that the digit fills, as of a meter, a form or a screen."""
    ink = np.pad(drawn(digit, 120, rng), rng.integers(0, 10))
    height = int(rng.integers(20, 40))
    width = max(12, round(height * ink.shape[1] / ink.shape[0] * rng.uniform(0.9, 1.2)))
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.8, 1.8))
    seen = (
        rng.uniform(170, 230) - rng.uniform(60, 130) / soft.max() * soft + np.linspace(0, rng.uniform(-20, 20), width)
    )
    return _taken(seen if rng.random() < 0.7 else 255 - seen, rng, noise=1, blur=0)


def cell(digit: Grey, rng: Generator) -> Grey:
    """Cell of a form or a grid, with some of its lines at or near the border."""
    side = int(rng.choice([28, 40, 60, 90]))
    ink = placed(drawn(digit, rng.uniform(0.45, 0.7) * side, rng), side, side, rng, margin=0.15)
    thickness = max(1, round(rng.uniform(0.02, 0.06) * side))
    for turns in np.flatnonzero(rng.random(4) < 0.6).tolist():
        start = rng.choice([0, 0, 1, 2])
        np.rot90(ink, turns)[start : start + thickness] = 1
    return _taken(255 - 235 * ink, rng, noise=2, blur=0.5)


def full_stop(digit: Grey, rng: Generator) -> Grey:
    """Digit with a full stop to its right."""
    ink = np.pad(drawn(digit, 80, rng), ((15, 25), (8, 40)))
    radius = rng.uniform(4, 8)
    right = ink.shape[1] - 40 + radius + rng.uniform(4, 12)
    cv2.circle(ink, (round(right), 92), round(radius), 1.0, cv2.FILLED)
    return (255 * (1 - ink)).astype(np.uint8)


def column(rng: Generator) -> Grey:
    """Two or three digits over one another, not all of them 1s: those are a broken 1."""
    return _in_line(rng, upright=True)


def row(rng: Generator) -> Grey:
    """Two or three digits beside one another."""
    return _in_line(rng, upright=False)


def _in_line(rng: Generator, upright: bool) -> Grey:
    """Two or three digits of one size, with gaps, along a line."""
    indices = rng.choice(len(DIGITS), rng.integers(2, 4))
    if (LABELS[indices] == 1).all():
        return _in_line(rng, upright)
    inks = [drawn(DIGITS[index], 100, rng) for index in indices]
    gap = int(rng.uniform(14, 50) if upright else rng.uniform(10, 40))
    parts = [np.zeros((150, 20), np.float32)]
    for ink in inks:
        turned = ink.T if upright else ink
        top = int(rng.uniform(17, 33)) + (100 - len(turned)) // 2
        parts += [np.pad(turned, ((top, 150 - top - len(turned)), (0, 20 if ink is inks[-1] else gap)))]
    line = (255 * (1 - np.hstack(parts))).astype(np.uint8)
    return line.T if upright else line


def _on_page(digit: Grey, rng: Generator) -> Floats:
    return placed(drawn(digit, rng.uniform(0.15, 0.7) * WIDTH, rng), HEIGHT, WIDTH, rng)


def _inked(paper: Floats | float, level: Floats | float, ink: Floats) -> Floats:
    return paper * (1 - ink) + level * ink


def _taken(seen: Seen, rng: Generator, noise: float, blur: float = 1) -> Grey:
    """Takes a photo of it, a little out of focus and with noise."""
    focussed = cv2.GaussianBlur(seen, (0, 0), blur) if blur else seen
    return np.clip(focussed + rng.normal(0, noise, seen.shape), 0, 255).astype(np.uint8)


def _across(rng: Generator) -> tuple[Floats, Floats, Floats]:
    """Returns each pixel's place in a photo along a random direction, and from its middle down and right, as shares."""
    down, right = np.mgrid[-0.5 : 0.5 : HEIGHT * 1j, -0.5 : 0.5 : WIDTH * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    return np.float32(np.cos(angle)) * right + np.float32(np.sin(angle)) * down, down, right


def _light(rng: Generator, depth: float = 0.35) -> Floats:
    """Light from one side, weaker towards the corners: a factor for each pixel of a photo."""
    across, down, right = _across(rng)
    return (1 + depth * (rng.uniform(-1, 1) * across - rng.uniform(0, 1) * (down**2 + right**2))).astype(np.float32)


def _beyond_a_line(rng: Generator) -> Floats:
    """Returns 0 on one side of a line through a photo and 1 on the other, with a softer or sharper edge."""
    return _step((_across(rng)[0] - rng.uniform(-0.3, 0.3)) / rng.uniform(0.004, 0.03))


def _step(place: Seen) -> Floats:
    """Logistic function, as a tanh, which does not overflow."""
    return (0.5 + 0.5 * np.tanh(place / 2)).astype(np.float32)


def _lines(gap: float, rng: Generator, upright: bool = False) -> Floats:
    """Returns 1 on ruled lines `gap` pixels apart, a little turned."""
    lines = np.zeros((HEIGHT, WIDTH), np.float32)
    along = lines.T if upright else lines
    thickness = rng.integers(1, 3)
    for start in np.arange(rng.uniform(0, gap), len(along), gap).astype(int):
        along[start : start + thickness] = 1
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), rng.uniform(-2, 2), 1.05)
    turned: Floats = cv2.warpAffine(lines, turn, (WIDTH, HEIGHT)).astype(np.float32)
    return turned


def _lined(lines: Floats, rng: Generator) -> Floats:
    return rng.uniform(190, 235) * _light(rng, 0.25) * (1 - rng.uniform(0.1, 0.3) * lines)


ONE_DIGIT: dict[str, Callable[[Grey, Generator], Grey]] = {
    kind.__name__: kind
    for kind in (
        *(photo, pencil, ballpoint, shadow, lit_strip, table, table_strips, desk, ruled, squared),
        *(canvas, inset, soft_crop, cell, full_stop),
    )
}
SEVERAL_DIGITS: dict[str, Callable[[Generator], Grey]] = {"column": column, "row": row}
