"""Finds what is written in a picture, where it is not plain what is paper and what is ink.

Uneven paper is looked at through two windows. The narrower one is right unless strokes are wider than it: then it
misses edges that are in the picture. Where nothing like a digit is found, the other polarity is tried. A sheet that
lies clear of the picture's border is looked at as a picture of its own.
"""

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np

from serving.image.ink.clutter import without_clutter
from serving.image.ink.components import Components
from serving.image.ink.histogram import Counts, histogram
from serving.image.ink.paper import Grey, Ink, inks_on_paper, strokes_of
from serving.image.ink.polarity import is_paper_light
from serving.image.ink.sheet import find_sheet

WINDOWS = (0.6, 0.25)  # of the shorter side: strokes are narrower
CROP_WINDOWS = (1.2, 0.6)  # of a small picture, which a digit with thick, soft strokes may fill
CROP_SIDE = 48  # pixels of the shorter side: a smaller picture is a crop
DEEPEST = 2  # sheets on sheets
SMALLEST_REGION_SIDE = 24  # pixels of the shorter side; in a smaller picture a digit reaches the border all around
MISSED_EDGES = 0.1  # of all edges, by squared gradient: a narrower window may lose so many
WHOLE_SIDE, REGION_CONTACT = 0.9, 0.35  # of one side, and of all sides together: what a region covers, and no digit


class Clarity(IntEnum):
    """Says how clearly writing stands out."""

    NOTHING = 0  # no digit: a region at the border, a solid piece
    CUT = 1  # a digit that reaches the border
    CLEAR = 2


@dataclass(frozen=True, slots=True)
class Writing:
    """Ink of the writing alone, (h, w) uint8, its components, and the grey levels between paper and full ink."""

    ink: Ink
    components: Components
    contrast: float
    clarity: Clarity
    is_paper_light: bool


def find_writing(grey: Grey, sheets: int = DEEPEST) -> Writing | None:
    """Returns what is written in `grey`, (h, w) uint8 of either polarity; None when nothing stands out.

    `sheets`: how many may lie on one another.
    """
    counts = histogram(grey)
    if counts.max() == grey.size:
        return None
    if sheets and (box := find_sheet(grey)) is not None:
        left, top, width, height = box
        on_sheet = find_writing(grey[top : top + height, left : left + width], sheets - 1)
        if on_sheet is not None and on_sheet.clarity == Clarity.CLEAR:
            return on_sheet
    is_light = is_paper_light(grey, counts)
    likely = _find(grey, is_light, counts)
    if likely is not None and likely.clarity > Clarity.NOTHING:
        return likely
    other = _find(grey, not is_light, counts)
    return other if other is not None and (likely is None or other.clarity > likely.clarity) else likely


def _find(grey: Grey, is_light: bool, counts: Counts) -> Writing | None:
    """Returns the clearest writing on paper of this polarity. `counts`: histogram(grey)."""
    best: Writing | None = None
    windows = WINDOWS if min(grey.shape) >= CROP_SIDE else CROP_WINDOWS
    for inked in inks_on_paper(grey, is_light, windows, counts):
        ink, components = without_clutter(inked.ink)
        if not len(components):
            continue
        main = int(components.amounts.argmax())
        writing = Writing(ink, components, inked.contrast, _clarity(components, main), is_light)
        if best is None or _is_better(writing, best, grey):
            best = writing
    return best


def _is_better(narrower: Writing, wider: Writing, grey: Grey) -> bool:
    """Returns True where the narrower window shows as much of what is in the picture, as clearly: with less shadow."""
    if wider.clarity == Clarity.NOTHING or narrower.clarity < wider.clarity:
        return narrower.clarity > wider.clarity
    across, down = cv2.spatialGradient(grey)
    energy = np.square(across, dtype=np.float32) + np.square(down, dtype=np.float32)
    missed, missed_by_wider = (float(energy[_around(each.ink) == 0].sum()) for each in (narrower, wider))
    return missed - missed_by_wider <= MISSED_EDGES * float(energy.sum())


def _around(ink: Ink) -> Grey:
    """Returns 255 at strokes and next to them, (h, w) uint8: where their edges are."""
    around: Grey = cv2.dilate(strokes_of(ink), np.ones((5, 5), np.uint8))
    return around


def _clarity(components: Components, main: int) -> Clarity:
    contacts = components.border_contacts_of(main)
    height, width = components.labels.shape
    if not contacts.any():
        return Clarity.CLEAR
    sides = np.array([width, width, height, height])
    if min(height, width) < SMALLEST_REGION_SIDE or (contacts / sides).max() < WHOLE_SIDE:
        return Clarity.CUT
    return Clarity.NOTHING if contacts.sum() >= REGION_CONTACT * sides.sum() else Clarity.CUT
